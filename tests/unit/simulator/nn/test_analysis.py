"""What the analysis of layers says, against what is known of them in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from simulator.nn import (
    analyse_layers,
    calibrate_input_ranges,
    convert_to_analog,
    drift_analog_weights,
    program_analog_weights,
)
from simulator.nn.analysis import _decibels
from tests.unit.simulator.nn.configs import STATIC, noiseless, normal, perfect

NOTHING_BUT_OUTPUT_NOISE = {
    "noise_management": "None",
    "bound_management": "None",
    "inp_res": 0.0,
    "out_res": 0.0,
    "inp_bound": 0.0,
    "out_bound": 0.0,
}


def linear(inputs=64, outputs=32):
    layer = nn.Linear(inputs, outputs, bias=False)
    with torch.no_grad():
        layer.weight.copy_(normal(outputs, inputs, seed=1) * 0.1)
    return layer


def test_signal_to_noise_ratio_of_output_noise_is_the_closed_form():
    config = noiseless(forward={**NOTHING_BUT_OUTPUT_NOISE, "out_noise": 0.1})
    layer, x = linear(), normal(500, 64)
    (found,) = analyse_layers(convert_to_analog(nn.Sequential(layer), config), x)
    expected = 10 * math.log10(float(layer(x).detach().square().mean()) / 0.1**2)
    assert found.snr_db == pytest.approx(expected, abs=0.2)
    assert found.name == "0"
    assert found.weight_range == (layer.weight.min().item(), layer.weight.max().item())


def test_perfect_products_have_no_noise_and_no_converters():
    (found,) = analyse_layers(convert_to_analog(nn.Sequential(linear()), perfect()), normal(5, 64))
    assert found.snr_db > 120
    assert [(tile.dac_clipped, tile.adc_clipped) for tile in found.tiles] == [(None, None)]


def test_clipped_shares_are_those_beyond_the_bounds():
    forward = {**STATIC, "inp_bound": 0.5, "out_bound": 0.3}
    layer, x = linear(), normal(400, 64)
    (found,) = analyse_layers(convert_to_analog(nn.Sequential(layer), noiseless(forward=forward)), x)
    step = 1 / 126
    dac = (torch.round(x / step) * step).clamp(-0.5, 0.5)
    assert found.tiles[0].dac_clipped == pytest.approx(float((x.abs() > 0.5).float().mean()), abs=2e-3)
    clipped = float((layer(dac).detach().abs() > 0.3).float().mean())
    assert found.tiles[0].adc_clipped == pytest.approx(clipped, abs=5e-3)


def test_a_quantile_as_input_range_clips_the_rest():
    config = noiseless(forward=STATIC, pre_post={"input_range": {"enable": True}})
    model, x = convert_to_analog(nn.Sequential(linear()), config), normal(2000, 64)
    calibrate_input_ranges(model, [x], method="CacheQuantile", quantile=0.9, max_samples=2000)
    (found,) = analyse_layers(model, x)
    assert found.tiles[0].dac_clipped == pytest.approx(0.1, abs=2e-3)
    assert found.tiles[0].input_range == pytest.approx(float(x.abs().quantile(0.9)), rel=0.02)


def test_every_tile_is_described_and_mapped_weights_reach_g_max():
    config = noiseless(mapping={"max_input_size": 16, "max_output_size": 16, "weight_scaling_omega": 1.0})
    (found,) = analyse_layers(convert_to_analog(nn.Sequential(linear()), config), normal(5, 64))
    assert [(tile.row, tile.column) for tile in found.tiles] == [(r, c) for c in range(4) for r in range(2)]
    assert [tile.largest_weight for tile in found.tiles] == pytest.approx([1.0] * 8)


def test_programmed_model_is_looked_at_as_it_is_and_left_as_it_was():
    model = convert_to_analog(nn.Sequential(linear(), nn.ReLU()), perfect(drift_compensation=None)).train()
    x = normal(50, 64)
    (clean,) = analyse_layers(model, x)
    program_analog_weights(model)
    drift_analog_weights(model, t_inference=86400.0)
    (drifted,) = analyse_layers(model, x)
    assert drifted.snr_db < 20 < clean.snr_db
    assert model.training
    assert all(tile.mode.clipping is None for _, tile in model[0].tile_slots())


def test_layers_that_are_not_called_are_not_described():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = linear(), linear()

        def forward(self, x):
            return self.used(x)

    found = analyse_layers(convert_to_analog(Model(), perfect()), normal(3, 64))
    assert [layer.name for layer in found] == ["used"]


@pytest.mark.parametrize(
    ("signal", "error", "decibels"),
    [
        (1e-320, 1e10, -3300.0),  # whose ratio is no number
        (1e300, 1e-20, 3200.0),
        (1.0, math.inf, None),
        (math.inf, 1.0, None),
        (1.0, math.nan, None),
        (0.0, 1.0, None),
        (1.0, 0.0, math.inf),
    ],
)
def test_signal_to_noise_ratio_of_numbers_next_to_nothing(signal, error, decibels):
    found = _decibels(signal, error)
    assert found == (None if decibels is None else pytest.approx(decibels, abs=0.1))

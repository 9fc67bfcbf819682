"""What converters should be, where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from simulator.config import InferenceRPUConfig, IOParameters, NoiseManagementType, preset
from simulator.config.analyses.advice import bits_of, resolution_of
from simulator.nn import (
    AnalogLinear,
    advise_converters,
    analog_layers,
    convert_to_analog,
    drift_analog_weights,
    program_analog_weights,
)

FEATURES = 64


def network() -> nn.Sequential:
    stream = torch.Generator().manual_seed(1)
    first, second = nn.Linear(FEATURES, 48), nn.Linear(48, 8)
    for layer in (first, second):
        layer.weight.data = torch.randn(layer.weight.shape, generator=stream) / 8
        layer.bias.data.zero_()
    return nn.Sequential(first, nn.ReLU(), second)


def inputs() -> torch.Tensor:
    return torch.empty(64, FEATURES).uniform_(-1, 1, generator=torch.Generator().manual_seed(2))


def quiet(**values: object) -> InferenceRPUConfig:
    """Nothing but converters."""
    forward = IOParameters(
        inp_bound=float("inf"), out_bound=float("inf"), out_noise=0.0,
        noise_management=NoiseManagementType.NONE, bound_management="None",
    )  # fmt: skip
    for name, value in values.items():
        setattr(forward, name, value)
    config = InferenceRPUConfig(forward=forward, drift_compensation=None)
    config.noise_model.prog_noise_scale = 0.0
    config.noise_model.read_noise_scale = 0.0
    config.noise_model.drift_scale = 0.0
    return config


def advised(config: InferenceRPUConfig, scale: float = 1.0):
    model = convert_to_analog(network(), config).eval()
    program_analog_weights(model, repeat=0)
    drift_analog_weights(model, t_inference=1.0)
    return {(one.layer, one.converter): one for one in advise_converters(model, scale * inputs())}


@pytest.mark.parametrize("bits", range(2, 13))
def test_bits_and_resolutions_are_inverse(bits):
    assert bits_of(resolution_of(bits)) == pytest.approx(bits)
    assert bits_of(float(2**bits - 2) if bits > 2 else 0.5) == pytest.approx(bits)


def test_only_converters_that_convert_are_advised():
    found = advised(quiet(inp_bound=1.0, inp_res=1 / 62))
    assert set(found) == {("0", "dac"), ("2", "dac")}
    assert advised(quiet()) == {}


def test_a_bit_more_is_worth_six_decibels():
    one = advised(quiet(inp_bound=1.0, inp_res=1 / 62))["0", "dac"]
    ratios = dict(one.by_bits)
    assert ratios[5] - ratios[4] == pytest.approx(20 * math.log10(30 / 14), abs=0.7)
    assert ratios[6] - ratios[5] == pytest.approx(20 * math.log10(62 / 30), abs=0.7)
    # Uniform inputs from -1 to 1 over the error of a step: 10 log10((1/3) / (step^2 / 12)), step = 2 / 62.
    assert one.snr_db == pytest.approx(10 * math.log10(4 / (2 / 62) ** 2), abs=0.7)


def test_the_bound_with_the_highest_ratio_is_where_the_inputs_end():
    for scale in (0.25, 1.0, 4.0):
        one = advised(quiet(inp_bound=1.0, inp_res=1 / 254), scale)["0", "dac"]
        assert one.best_bound == pytest.approx(scale, rel=0.01)


def test_a_bound_that_wins_next_to_nothing_is_left_as_it_is():
    one = advised(quiet(inp_bound=1.1, inp_res=1 / 254))["0", "dac"]
    assert one.best_bound == 1.1


def test_the_fewest_bits_are_few_where_other_noise_is_larger():
    noisy = advised(quiet(inp_bound=1.0, inp_res=1 / 254, out_noise=0.3))["0", "dac"]
    better = advised(quiet(inp_bound=1.0, inp_res=1 / 254, out_noise=0.02))["0", "dac"]
    assert noisy.fewest_bits is not None
    assert better.fewest_bits is not None
    assert noisy.fewest_bits < better.fewest_bits
    assert noisy.unquantised_db - dict(noisy.by_bits)[noisy.fewest_bits] <= 1
    assert noisy.unquantised_db - dict(noisy.by_bits)[noisy.fewest_bits - 1] > 1


def test_trials_leave_the_model_as_it_was():
    model = convert_to_analog(network(), preset("PCMExamplePreset")).eval()
    program_analog_weights(model, repeat=0)
    drift_analog_weights(model, t_inference=1.0)

    def answer() -> torch.Tensor:
        [(_, layer), *_] = analog_layers(model)
        layer.noise_context.at_batch(3)
        with torch.inference_mode():
            return model(inputs())

    before, configs = answer(), [layer.rpu_config for _, layer in analog_layers(model)]
    assert advise_converters(model, inputs())
    assert torch.equal(answer(), before)
    for (_, layer), config in zip(analog_layers(model), configs, strict=True):
        assert isinstance(layer, AnalogLinear)
        assert all(tile.rpu_config == config for _, tile in layer.tile_slots())


def test_trials_of_equal_settings_have_equal_ratios():
    one = advised(preset("PCMExamplePreset"))["0", "adc"]
    again = advised(preset("PCMExamplePreset"))["0", "adc"]
    assert one == again

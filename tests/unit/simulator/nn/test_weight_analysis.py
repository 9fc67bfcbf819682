"""What programming and drift make of weights, against what is known of them in closed form."""

import pytest
import torch
from torch import nn

from simulator.nn import analyse_layers, analyse_weights, calibrate_input_ranges, convert_to_analog
from tests.unit.simulator.nn.configs import STATIC, noiseless, normal


def linear(inputs=200, outputs=200):
    layer = nn.Linear(inputs, outputs, bias=False)
    with torch.no_grad():
        layer.weight.copy_(normal(outputs, inputs, seed=1) * 0.1)
    return layer


# Neither programming noise, nor read noise, nor drift.
IDEAL = {"type": "PCMLikeNoiseModel", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}


def test_devices_without_noise_keep_their_weights():
    config = noiseless(noise_model=IDEAL, mapping={"weight_scaling_omega": 1.0})
    (found,) = analyse_weights(convert_to_analog(nn.Sequential(linear()), config), (3600.0, 31536000.0))
    assert found.programmed.counts == found.target.counts
    assert [one.weights.counts for one in found.drifted] == [found.target.counts] * 2
    assert sum(found.target.counts) == 200 * 200
    for number, (mean, std) in enumerate(zip(found.programmed_mean, found.programmed_std, strict=True)):
        low = -1.25 + number * 0.05
        assert (mean is None) == (found.target.counts[number] == 0)
        if mean is not None:
            assert low - 1e-6 <= mean <= low + 0.05 + 1e-6
            assert std <= 0.025 + 1e-6


def test_drift_narrows_the_weights_and_tiles_are_taken_together():
    mapping = {"weight_scaling_omega": 1.0, "max_input_size": 64, "max_output_size": 64}
    config = noiseless(noise_model={"type": "PCMLikeNoiseModel"}, mapping=mapping)
    (found,) = analyse_weights(convert_to_analog(nn.Sequential(linear()), config), (3600.0, 31536000.0))
    spreads = [_spread(one) for one in (found.target, *(one.weights for one in found.drifted))]
    assert spreads[0] > spreads[1] > spreads[2]
    assert sum(found.target.counts) == sum(found.programmed.counts) == 200 * 200


def _spread(histogram):
    width = 2 * histogram.limit / histogram.bins
    places = [-histogram.limit + (number + 0.5) * width for number in range(histogram.bins)]
    total = sum(histogram.counts)
    return sum(count * place**2 for count, place in zip(histogram.counts, places, strict=True)) / total


def test_what_an_input_range_clips_is_seen_beyond_its_bound():
    config = noiseless(forward=STATIC, pre_post={"input_range": {"enable": True}})
    model, x = convert_to_analog(nn.Sequential(linear(64, 32)), config), normal(2000, 64)
    calibrate_input_ranges(model, [x], method="CacheQuantile", quantile=0.9, max_samples=2000)
    (found,) = analyse_layers(model, x)
    assert sum(found.dac.counts) == x.numel()
    beyond = sum(found.dac.counts[:20]) + sum(found.dac.counts[-20:])
    assert beyond / x.numel() == pytest.approx(found.tiles[0].dac_clipped, abs=2e-3)


def test_histograms_of_converters_end_where_their_bounds_are():
    forward = {**STATIC, "inp_bound": 0.5, "out_bound": 0.3}
    model, x = convert_to_analog(nn.Sequential(linear(64, 32)), noiseless(forward=forward)), normal(400, 64)
    (found,) = analyse_layers(model, x)
    for histogram, clipped in (
        (found.dac, found.tiles[0].dac_clipped),
        (found.adc, found.tiles[0].adc_clipped),
    ):
        beyond = sum(histogram.counts[:20]) + sum(histogram.counts[-20:])
        assert beyond / sum(histogram.counts) == pytest.approx(clipped, abs=5e-3)

"""Relations that hold whatever the numbers are: between noise and none, times, bits, and compensation."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from simulator.config import InferenceRPUConfig, resolve
from simulator.nn import analyse_layers, convert_to_analog, drift_analog_weights, program_analog_weights
from tests.unit.simulator.nn.configs import SILENT_DEVICES, normal

NO_CONVERTERS = {
    "inp_res": 0.0,
    "out_res": 0.0,
    "inp_bound": 0.0,
    "out_bound": 0.0,
    "out_noise": 0.0,
    "noise_management": "None",
    "bound_management": "None",
}
TIMES_S = (0.0, 1.0, 3600.0, 86400.0, 31536000.0)


def network():
    torch.manual_seed(8)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 36, 20),
        nn.ReLU(),
        nn.Linear(20, 5),
    ).eval()


def over_time(config: InferenceRPUConfig, x, *, repeat=0):
    model = convert_to_analog(network(), config).eval()
    program_analog_weights(model, repeat=repeat)
    outputs = []
    for t in TIMES_S:
        drift_analog_weights(model, t_inference=t)
        with torch.inference_mode():
            outputs.append(model(x))
    return outputs


@pytest.mark.parametrize(
    "mapping", [{}, {"weight_scaling_omega": 0.5}, {"max_input_size": 17, "max_output_size": 4}]
)
@pytest.mark.parametrize("digital_bias", [True, False])
def test_without_noise_and_converters_the_digital_result_stays(mapping, digital_bias):
    node = {"forward": NO_CONVERTERS, "noise_model": SILENT_DEVICES}
    config = resolve({**node, "mapping": {**mapping, "digital_bias": digital_bias}})
    x = normal(9, 2, 6, 6)
    with torch.inference_mode():
        expected = network()(x)
    for y in over_time(config, x):
        assert torch.allclose(y, expected, atol=2e-5)


@pytest.mark.parametrize(
    "noise_model",
    [{"drift_scale": 0.0}, {"type": "StateIndependentNoiseModel", "drift_nu_mean": 0.0, "drift_nu_std": 0.0}],
)
def test_devices_that_do_not_drift_give_a_flat_curve(noise_model):
    devices = {"type": "PCMLikeNoiseModel", "read_noise_scale": 0.0, **noise_model}
    config = resolve({"forward": NO_CONVERTERS, "noise_model": devices, "drift_compensation": None})
    first, *later = over_time(config, normal(9, 2, 6, 6))
    for y in later:
        assert torch.allclose(y, first, atol=1e-5)


def test_compensation_restores_the_scale_of_a_tile_whose_devices_drift_alike():
    devices = {
        "type": "StateIndependentNoiseModel",
        "prog_noise_scale": 0.0,
        "read_noise_scale": 0.0,
        "drift_nu_std": 0.0,
    }
    node = {"forward": NO_CONVERTERS, "noise_model": devices}
    x = normal(9, 2, 6, 6)
    with torch.inference_mode():
        expected = network()(x)
    for y in over_time(resolve(node), x):
        assert torch.allclose(y, expected, atol=2e-5)
    drifted = over_time(resolve({**node, "drift_compensation": None}), x)[-1]
    assert not torch.allclose(drifted, expected, atol=1e-2)


@pytest.mark.parametrize("field", ["inp_res", "out_res"])
def test_more_bits_are_not_worse_on_average(field):
    x = normal(200, 2, 6, 6)
    ratios = []
    for bits in (4, 6, 8, 10):
        forward = {"out_noise": 0.0, "inp_res": -1.0, "out_res": -1.0, field: 1 / (2**bits - 2)}
        config = resolve({"forward": forward, "mapping": {"weight_scaling_omega": 1.0}})
        layers = analyse_layers(convert_to_analog(network(), config), x)
        ratios.append(sum(layer.snr_db for layer in layers) / len(layers))
    assert ratios == sorted(ratios)
    assert all(8 < better - worse < 16 for worse, better in itertools.pairwise(ratios))

"""The conductances to program stand for the weights of the network, whatever makes weights conductances."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from simulator.config import preset, with_overrides
from simulator.nn import analog_layers, convert_to_analog, target_conductances
from tests.unit.simulator.nn.configs import normal

NOISE_MODELS = {
    "a pair": {"g_max": 20.0},
    "a pair above zero": {
        "g_max": None, "g_converter": {"type": "SinglePairConductanceConverter", "g_min": 1.0, "g_max": 20.0},
    },
    "two pairs": {
        "g_max": None, "g_converter": {"type": "NPairConductanceConverter", "f_lst": [1.0, 0.25], "g_max": 9.0},
    },
    "two devices for each of a pair": {"type": "HermesNoiseModel", "num_devices": 2},
    "one device": {"type": "ReRamCMONoiseModel"},
}  # fmt: skip


def network():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 5))
    for index, parameter in enumerate(model.parameters()):
        parameter.data = 0.3 * normal(*parameter.shape, seed=index)
    return model


def converted(noise_model, **mapping):
    given = {"max_input_size": 7, "max_output_size": 3, "weight_scaling_columnwise": True, **mapping}
    return convert_to_analog(
        network(), with_overrides(preset("PCMExamplePreset"), {"noise_model": noise_model, "mapping": given})
    )


@pytest.mark.parametrize("digital_bias", [True, False])
@pytest.mark.parametrize("name", NOISE_MODELS)
def test_weights_follow_from_conductances_by_the_manifest(name, digital_bias):
    model = converted(NOISE_MODELS[name], digital_bias=digital_bias)
    tensors, manifest = target_conductances(model)
    used = set()
    for (layer_name, layer), told in zip(analog_layers(model), manifest["layers"], strict=True):
        assert told["name"] == layer_name
        size_in = layer.weight[0].numel()
        found = torch.full((len(layer.weight), size_in + 1), torch.nan)
        for tile in told["tiles"]:
            devices = [tensors[one["tensor"]] for one in tile["devices"]]
            assert len(devices) * tile["devices_per_conductance"] == told["devices_per_weight"]
            for g_us in devices:
                assert g_us.shape == (tile["used_outputs"], tile["used_inputs"])
                assert tile["g_min_us"] * (1 - 1e-5) <= g_us.min()
                assert g_us.max() <= tile["g_max_us"] * (1 + 1e-5)
            assert tile["used_inputs"] <= tile["array_inputs"] == 7
            total = sum(one["factor"] * tensors[one["tensor"]] for one in tile["devices"])
            weights = (total - tile["offset_us"]) / tile["us_per_weight"]
            weights = weights * tensors[tile["mapping_scale"]].unsqueeze(1)
            found[slice(*tile["outputs"]), slice(*tile["inputs"])] = weights
            used |= {one["tensor"] for one in tile["devices"]} | {tile["mapping_scale"]}
            assert tile["last_input_is_bias"] == (not digital_bias and tile["inputs"][1] > size_in)
        torch.testing.assert_close(found[:, :size_in], layer.weight.flatten(1), atol=2e-6, rtol=1e-5)
        if digital_bias:
            assert torch.equal(tensors[told["bias"]], layer.bias)
            used.add(told["bias"])
        else:
            torch.testing.assert_close(found[:, size_in], layer.bias, atol=2e-6, rtol=1e-5)
    assert used == set(tensors), "the manifest names every tensor"


def test_a_device_of_few_states_is_programmed_to_one_of_them():
    tensors, manifest = target_conductances(converted({"g_max": 20.0, "states": 5}))
    devices = [one for layer in manifest["layers"] for tile in layer["tiles"] for one in tile["devices"]]
    steps = torch.cat([tensors[one["tensor"]].flatten() for one in devices]) / 5.0
    torch.testing.assert_close(steps, steps.round())


def test_it_is_what_programming_without_noise_puts_on_the_devices():
    model = converted({"g_max": 20.0, "prog_noise_scale": 0.0})
    tensors, _ = target_conductances(model)
    for name, layer in analog_layers(model):
        layer.program()
        for slot, tile in layer.tile_slots():
            prefix = f"{name}.tile_{slot.row}_{slot.column}."
            net_us = tensors[prefix + "g_plus"] - tensors[prefix + "g_minus"]
            programmed = tile.chip.weights_OI
            torch.testing.assert_close(net_us / net_us.abs().max(), programmed / programmed.abs().max())

"""A trained network is mapped for programming as any other: by its own weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from simulator.config import preset, with_overrides
from simulator.nn import (
    AnalogLinear,
    analog_layers,
    convert_to_analog,
    convert_to_digital,
    drift_analog_weights,
    load_trained_elsewhere,
    noise_context,
    post_update_step,
    program_analog_weights,
    remap_for_programming,
)
from tests.unit.simulator.nn.configs import normal

DAY = 86400.0
X = normal(20, 1, 6, 6, seed=7)


def configuration(**mapping):
    config = preset("StandardHWATrainingPreset")
    config.mapping = config.mapping.model_copy(update=mapping)
    return config


def network():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    for index, parameter in enumerate(model.parameters()):
        parameter.data = 0.3 * normal(*parameter.shape, seed=index)
    return model


def trained(config):
    """Some steps that move weights, learned scales and ranges, and outgrow the mapping."""
    analog = convert_to_analog(network(), config, seed=4).train()
    optimiser = torch.optim.SGD(analog.parameters(), lr=0.1)
    for _ in range(5):
        optimiser.zero_grad()
        (analog(X) - 3 * normal(20, 5, seed=8)).square().mean().backward()
        optimiser.step()
        post_update_step(analog)
    with torch.no_grad():
        analog[3].weight[0] *= 1.7
    return analog.eval()


def tiles(model):
    return [tile for _, layer in analog_layers(model) for _, tile in layer.tile_slots()]


def on_a_chip(model):
    program_analog_weights(model, repeat=2)
    drift_analog_weights(model, DAY)
    noise_context(model).at_batch(0)
    with torch.inference_mode():
        return model(X)


def largest_weights(model):
    return [
        tile.target_weights(layer.logical_block(slot)).abs().max().item()
        for _, layer in analog_layers(model)
        for slot, tile in layer.tile_slots()
    ]


CONFIGURATIONS = [
    {},
    {"weight_scaling_columnwise": False, "out_scaling_columnwise": False},
    {"weight_scaling_omega": 0.6, "max_input_size": 24, "digital_bias": False},
    {"learn_out_scaling": False},
]


@pytest.mark.parametrize("mapping", CONFIGURATIONS)
def test_a_trained_network_gives_what_its_exported_weights_give_on_the_same_ranges(mapping):
    config = configuration(**mapping)
    hwa = trained(config)
    direct = convert_to_analog(convert_to_digital(hwa), config, seed=4).eval()
    for one, other in zip(tiles(direct), tiles(hwa), strict=True):
        one.input_range.data.copy_(other.input_range)
    before = on_a_chip(copy.deepcopy(hwa))
    remap_for_programming(hwa)
    assert torch.equal(on_a_chip(hwa), on_a_chip(direct))
    assert not torch.equal(before, on_a_chip(direct))


@pytest.mark.parametrize("mapping", CONFIGURATIONS)
def test_no_weight_exceeds_omega_and_each_tile_uses_it(mapping):
    config = configuration(**mapping)
    hwa = trained(config)
    omega = config.mapping.weight_scaling_omega
    assert max(largest_weights(hwa)) > omega + 0.1
    remap_for_programming(hwa)
    assert largest_weights(hwa) == pytest.approx([omega] * len(tiles(hwa)))


def test_what_a_network_computes_and_its_ranges_stay():
    hwa = trained(configuration())
    ranges = [tile.input_range.detach().clone() for tile in tiles(hwa)]
    with torch.no_grad():
        digital = convert_to_digital(hwa)(X)
        remap_for_programming(hwa)
        torch.testing.assert_close(convert_to_digital(hwa)(X), digital)
    assert all(torch.equal(tile.input_range, kept) for tile, kept in zip(tiles(hwa), ranges, strict=True))


def test_a_second_time_changes_nothing():
    hwa = trained(configuration())
    remap_for_programming(hwa)
    once = {key: value.clone() for key, value in hwa.state_dict().items()}
    remap_for_programming(hwa)
    assert all(torch.equal(value, once[key]) for key, value in hwa.state_dict().items())


def test_a_fresh_conversion_stays_as_it_is():
    analog = convert_to_analog(network(), configuration(), seed=4)
    before = {key: value.clone() for key, value in analog.state_dict().items()}
    remap_for_programming(analog)
    assert all(torch.equal(value, before[key]) for key, value in analog.state_dict().items())


def test_layers_that_share_weights_get_their_own_where_their_scales_differ():
    layers = [AnalogLinear(4, 4, bias=False, rpu_config=configuration()) for _ in range(2)]
    layers[1].weight = layers[0].weight
    model = nn.Sequential(*layers)
    with torch.no_grad():
        layers[0].tiles[0].out_scaling.fill_(2.0)
        layers[1].tiles[0].out_scaling.fill_(0.5)
        shared = layers[0].weight.clone()
        remap_for_programming(model)
    assert torch.equal(layers[0].weight, 2 * shared)
    assert torch.equal(layers[1].weight, 0.5 * shared)


def test_programming_is_forgotten():
    hwa = trained(configuration())
    program_analog_weights(hwa)
    remap_for_programming(hwa)
    assert all(tile.chip is None for tile in tiles(hwa))


def test_a_model_without_analog_layers_is_left_alone():
    remap_for_programming(nn.Linear(2, 2))


def test_a_network_that_was_trained_on_other_scales_computes_as_its_own_weights_do():
    elsewhere = configuration(weight_scaling_columnwise=False, learn_out_scaling=False)
    elsewhere = with_overrides(
        elsewhere,
        {
            "remap": {"type": "ChannelwiseSymmetric"},
            "pre_post": {"input_range": {"learn_input_range": True}},
            "forward": {"noise_management": "AverageAbsMax"},
        },
    )
    here = with_overrides(
        elsewhere,
        {
            "remap": {"type": "None"},
            "pre_post": {"input_range": {"learn_input_range": False}},
            "forward": {"noise_management": "None"},
        },
    )
    trained = convert_to_analog(network(), elsewhere).train()
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        trained(X).square().sum().backward()
        optimizer.step()
        post_update_step(trained)
    remap_for_programming(trained)
    model = convert_to_analog(network(), here)
    load_trained_elsewhere(model, trained)
    remap_for_programming(model)

    expected = convert_to_analog(convert_to_digital(trained), here)
    for (_, mine), (_, its), (_, theirs) in zip(
        analog_layers(model), analog_layers(expected), analog_layers(trained), strict=True
    ):
        assert torch.equal(mine.weight, its.weight)
        for (_, own), (_, fresh), (_, learned) in zip(
            mine.tile_slots(), its.tile_slots(), theirs.tile_slots(), strict=True
        ):
            assert torch.equal(own.mapping_scale, fresh.mapping_scale)
            assert torch.equal(own.input_range, learned.input_range)
            assert own.average_abs_max is None

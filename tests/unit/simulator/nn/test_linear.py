from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from simulator.nn import AnalogLinear, post_update_step
from tests.unit.simulator.nn.configs import STATIC, noiseless, normal, perfect

MAPPINGS = [
    {},
    {"weight_scaling_omega": 1.0},
    {"weight_scaling_omega": 0.6, "weight_scaling_columnwise": True},
    {"max_input_size": 5, "max_output_size": 4},
    {"max_input_size": 5, "max_output_size": 0, "weight_scaling_omega": 1.0, "digital_bias": False},
    {"digital_bias": False, "learn_out_scaling": True},
    {"learn_out_scaling": True, "out_scaling_columnwise": True, "weight_scaling_omega": 1.0},
]


@pytest.fixture
def digital():
    layer = nn.Linear(13, 9)
    layer.weight.data, layer.bias.data = 0.3 * normal(9, 13), normal(9, seed=1)
    return layer


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("shape", [(13,), (4, 13), (2, 3, 13)])
def test_perfect_layer_is_the_digital_one(digital, mapping, shape):
    analog = AnalogLinear.from_digital(copy.deepcopy(digital), perfect(mapping=mapping))
    x = normal(*shape, seed=2)
    torch.testing.assert_close(analog(x), digital(x))


@pytest.mark.parametrize("mapping", MAPPINGS[:-2])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_step_is_the_digital_one_whatever_the_scaling(digital, mapping, optimizer):
    analog = AnalogLinear.from_digital(copy.deepcopy(digital), perfect(mapping=mapping))
    x, target = normal(6, 13, seed=2), normal(6, 9, seed=3)
    for layer in (digital, analog):
        steps = optimizer(layer.parameters(), lr=0.1)
        for _ in range(3):
            steps.zero_grad()
            (layer(x) - target).square().mean().backward()
            steps.step()
            post_update_step(layer)
    torch.testing.assert_close(analog.weight, digital.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(analog.bias, digital.bias, rtol=1e-4, atol=1e-5)


def test_quantised_layer_is_close_to_the_digital_one(digital):
    x = normal(20, 13, seed=2)
    analog = AnalogLinear.from_digital(copy.deepcopy(digital), noiseless())
    error = (analog(x) - digital(x)).abs().max() / digital(x).abs().max()
    assert 0 < error < 0.05


def test_parameters_have_the_names_of_the_plain_layer(digital):
    analog = AnalogLinear.from_digital(digital, perfect(mapping={"weight_scaling_omega": 1.0}))
    assert dict(analog.named_parameters()).keys() == {"weight", "bias"}
    assert {"weight", "bias", "tiles.0.mapping_scale"} == analog.state_dict().keys()


def test_state_dict_restores_a_trained_layer(digital):
    config = perfect(
        mapping={"learn_out_scaling": True, "weight_scaling_omega": 1.0},
        pre_post={"input_range": {"enable": True, "init_from_data": 3}},
    )
    analog = AnalogLinear.from_digital(digital, config).train()
    for batch in range(5):
        analog(normal(8, 13, seed=batch))
    other = AnalogLinear(13, 9, rpu_config=config)
    other.load_state_dict(analog.state_dict())
    x = normal(4, 13, seed=9)
    assert torch.equal(other.eval()(x), analog.eval()(x))


def test_set_weights_maps_them_anew(digital):
    analog = AnalogLinear.from_digital(digital, perfect(mapping={"weight_scaling_omega": 1.0}))
    analog.set_weights(torch.full((9, 13), 0.25))
    ((slot, tile),) = analog.tile_slots()
    assert tile.mapping_scale.item() == 0.25
    assert torch.equal(tile.target_weights(analog.logical_block(slot)), torch.ones(9, 13))


def test_set_weights_of_another_shape_is_an_error(digital):
    analog = AnalogLinear.from_digital(digital, perfect())
    with pytest.raises(ValueError, match=r"expected weight \(9, 13\).*got weight \(2, 2\)"):
        analog.set_weights(torch.ones(2, 2))


def test_output_of_zeros_keeps_its_scale():
    layer = AnalogLinear(
        3,
        2,
        bias=False,
        rpu_config=perfect(mapping={"weight_scaling_omega": 1.0, "weight_scaling_columnwise": True}),
    )
    layer.set_weights(torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]]))
    ((_, tile),) = layer.tile_slots()
    assert tile.mapping_scale.tolist() == [1.0, 0.5]


def test_wrong_number_of_inputs_is_named(digital):
    analog = AnalogLinear.from_digital(digital, perfect())
    with pytest.raises(ValueError, match="expected 13 inputs, got 12"):
        analog(torch.ones(2, 12))


def test_every_tile_quantises_its_own_inputs():
    forward = {"out_noise": 0.0, "out_res": -1.0}
    results = []
    for mapping in ({}, {"max_input_size": 2}):
        layer = AnalogLinear(4, 1, bias=False, rpu_config=noiseless(forward=forward, mapping=mapping))
        layer.set_weights(torch.ones(1, 4))
        results.append(layer(torch.tensor([[1.0, 0.0, 0.002, 0.001]])).item())
    assert results == pytest.approx([1.0, 1.003], abs=1e-4)


def test_analog_bias_is_not_multiplied_by_the_input_range():
    options = {"enable": True, "init_value": 4.0, "init_from_data": 0}
    config = noiseless(forward=STATIC, mapping={"digital_bias": False}, pre_post={"input_range": options})
    layer = AnalogLinear(3, 2, rpu_config=config).eval()
    layer.set_weights(torch.zeros(2, 3), torch.tensor([0.5, -0.5]))
    torch.testing.assert_close(layer(torch.zeros(1, 3)), torch.tensor([[0.5, -0.5]]), atol=0.1, rtol=0)


def test_digital_layer_has_the_learned_scales_in_its_weights(digital):
    analog = AnalogLinear.from_digital(
        copy.deepcopy(digital), perfect(mapping={**MAPPINGS[-1], "max_input_size": 5, "digital_bias": False})
    )
    for _, tile in analog.tile_slots():
        nn.init.constant_(tile.out_scaling, 1.5)
    x = normal(4, 13, seed=2)
    back = analog.to_digital()
    assert type(back) is nn.Linear
    torch.testing.assert_close(back(x), analog(x))

from __future__ import annotations

import pytest
import torch
from torch import nn

from simulator.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d
from tests.unit.simulator.nn.configs import STATIC, noiseless, normal, perfect

KINDS = {1: (nn.Conv1d, AnalogConv1d), 2: (nn.Conv2d, AnalogConv2d), 3: (nn.Conv3d, AnalogConv3d)}
OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"dilation": 2, "padding": 2},
    {"padding": "same"},
    {"padding": "same", "dilation": 2, "kernel_size": 2},
    {"padding": "valid"},
    {"groups": 2, "padding": 1},
    {"groups": 4},
    {"padding": 1, "padding_mode": "circular"},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "replicate", "stride": 2},
    {"bias": False},
]
MAPPINGS = [
    {},
    {"max_input_size": 7, "max_output_size": 3, "weight_scaling_omega": 1.0},
    {"digital_bias": False, "weight_scaling_omega": 1.0, "weight_scaling_columnwise": True},
]


def pair(dimensions, options, config):
    """Return a plain convolution and an analog one with the same weights, and an input."""
    plain, analog_kind = KINDS[dimensions]
    arguments = {"in_channels": 4, "out_channels": 8, "kernel_size": 3, **options}
    digital = plain(**arguments)
    digital.weight.data = 0.2 * normal(*digital.weight.shape)
    if digital.bias is not None:
        digital.bias.data = normal(8, seed=1)
    analog = analog_kind(**arguments, rpu_config=config)
    analog.set_weights(digital.weight, digital.bias)
    return digital, analog, normal(2, 4, *[6 + axis for axis in range(dimensions)], seed=2)


@pytest.mark.parametrize("dimensions", KINDS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_perfect_convolution_is_the_digital_one(dimensions, options, mapping):
    digital, analog, x = pair(dimensions, options, perfect(mapping=mapping))
    torch.testing.assert_close(analog(x), digital(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_quantised_convolution_is_close_to_the_digital_one(options):
    digital, analog, x = pair(2, options, noiseless())
    error = (analog(x) - digital(x)).abs().max() / digital(x).abs().max()
    assert 0 < error < 0.05


@pytest.mark.parametrize("dimensions", KINDS)
def test_gradients_are_the_digital_ones_with_a_scale_per_patch(dimensions):
    fine = {"forward": {"out_noise": 0.0, "inp_res": -1.0, "out_res": -1.0}}
    digital, analog, x = pair(dimensions, {"padding": 1}, noiseless(**fine))
    gradients = []
    for layer in (digital, analog):
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        layer(leaf).square().sum().backward()
        gradients.append((leaf.grad, layer.weight.grad, layer.bias.grad))
    for ours, theirs in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dimensions", KINDS)
def test_sample_without_batch_dimension(dimensions):
    digital, analog, x = pair(dimensions, {}, perfect())
    torch.testing.assert_close(analog(x[0]), digital(x[0]))


def test_wrong_shape_is_named():
    _, analog, x = pair(2, {}, perfect())
    with pytest.raises(ValueError, match=r"expected \[batch, 4, 2 dimensions\], got \[2, 3, 6, 7\]"):
        analog(x[:, :3])


def test_every_group_has_tiles_of_its_own():
    _, analog, _ = pair(2, {"groups": 2}, perfect())
    assert [(slot.group, slot.row, slot.shape) for slot in analog.slots] == [(0, 0, (4, 18)), (1, 1, (4, 18))]


@pytest.mark.parametrize("options", OPTIONS)
def test_conversion_back_keeps_the_options(options):
    digital, analog, x = pair(2, options, perfect())
    back = analog.to_digital()
    assert type(back) is nn.Conv2d
    torch.testing.assert_close(back(x), digital(x))


def test_static_scale_quantises_the_activation_as_every_patch():
    config = noiseless(forward={**STATIC, "inp_res": 0.05, "inp_bound": 4.0, "out_bound": 100.0})
    digital, analog, x = pair(2, {"padding": 1}, config)
    quantised = (x / 0.4).round().mul(0.4).clamp(-4, 4)
    torch.testing.assert_close(analog(x), digital(quantised), atol=0.4, rtol=0)


def test_analog_bias_joins_the_patches_behind_an_input_range():
    options = {"enable": True, "init_value": 4.0, "init_from_data": 0}
    config = noiseless(forward=STATIC, mapping={"digital_bias": False}, pre_post={"input_range": options})
    _, analog, x = pair(2, {}, config)
    analog.set_weights(torch.zeros_like(analog.weight), torch.linspace(-0.5, 0.5, 8))
    y = analog(x).mean(dim=(0, 2, 3))
    torch.testing.assert_close(y, torch.linspace(-0.5, 0.5, 8), atol=0.1, rtol=0)


def test_noise_of_neighbouring_patches_is_independent():
    config = noiseless(forward={**STATIC, "inp_noise": 0.1, "out_bound": -1.0})
    _, analog, _ = pair(2, {"bias": False}, config)
    y = analog(torch.zeros(1, 4, 40, 40)).detach()[0].flatten(1)
    correlation = torch.corrcoef(torch.stack([y[0, :-1], y[0, 1:]]))[0, 1]
    assert abs(correlation) < 0.1

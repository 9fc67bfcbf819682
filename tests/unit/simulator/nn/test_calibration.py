from __future__ import annotations

import pytest
import torch
from torch import nn

from simulator.config import CalibrationMethod, NoiseManagementType
from simulator.nn import AnalogConv2d, AnalogLinear, analog_layers, calibrate_input_ranges, convert_to_analog
from tests.unit.simulator.nn.configs import noiseless, normal

METHODS = list(CalibrationMethod)


def converted(**mapping):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    for index, parameter in enumerate(model.parameters()):
        parameter.data = 0.3 * normal(*parameter.shape, seed=index)
    return convert_to_analog(model, noiseless(mapping=mapping), seed=1).eval()


def batches(count=4, scale=1.0):
    return [scale * normal(8, 1, 6, 6, seed=index) for index in range(count)]


def ranges(model):
    return [float(tile.input_range.detach()) for _, layer in analog_layers(model) for tile in layer.tiles]


@pytest.mark.parametrize("method", METHODS)
def test_every_tile_gets_a_range_that_scales_with_the_data(method):
    one, two = converted(max_input_size=40), converted(max_input_size=40)
    report = calibrate_input_ranges(one, batches(), method=method)
    calibrate_input_ranges(two, batches(scale=0.5), method=method)
    assert [tile.input_range for tile in report] == pytest.approx(ranges(one))
    assert [(tile.layer, tile.row, tile.column) for tile in report] == [("0", 0, 0), ("3", 0, 0), ("3", 0, 1)]
    assert ranges(two)[0] == pytest.approx(0.5 * ranges(one)[0], rel=0.01)


def test_max_is_the_largest_input():
    model, data = converted(), batches()
    calibrate_input_ranges(model, data, method="Max")
    assert ranges(model)[0] == pytest.approx(max(x.abs().max().item() for x in data))


def test_quantiles_are_of_absolute_values():
    model = AnalogLinear(1, 1, rpu_config=noiseless()).eval()
    data = torch.linspace(-1.0, 0.1, 1001).unsqueeze(1)
    calibrate_input_ranges(model, [data], method="CacheQuantile", quantile=0.5, max_samples=5000)
    assert ranges(model) == pytest.approx([data.abs().quantile(0.5).item()], rel=0.01)


def test_noise_management_is_replaced_and_said_so():
    model = converted()
    report = calibrate_input_ranges(model, batches())
    assert {tile.noise_management_was for tile in report} == {NoiseManagementType.ABS_MAX}
    for _, layer in analog_layers(model):
        assert layer.rpu_config.forward.noise_management is NoiseManagementType.NONE
        assert not any(tile.plan.is_perfect or tile.plan.static_scale is None for tile in layer.tiles)


def test_calibrated_model_is_close_to_the_digital_one():
    model, x = converted(), batches(1)[0]
    digital = nn.Sequential(
        *(layer.to_digital() if hasattr(layer, "to_digital") else layer for layer in model)
    )
    calibrate_input_ranges(model, batches())
    error = (model(x) - digital(x)).norm() / digital(x).norm()
    assert error < 0.2


def test_sample_depends_on_the_seed_alone():
    results = []
    for seed in (1, 1, 2):
        model = converted()
        calibrate_input_ranges(
            model, batches(), method="CacheQuantile", quantile=0.9, max_samples=20, seed=seed
        )
        results.append(ranges(model))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_training_mode_comes_back():
    model = converted().train()
    calibrate_input_ranges(model, batches())
    assert model.training


def test_training_batches_no_longer_set_the_ranges():
    model = converted()
    calibrate_input_ranges(model, batches())
    before = ranges(model)
    model.train()(5 * batches(1)[0])
    assert ranges(model) == before


def test_faulty_arguments_are_all_named():
    with pytest.raises(ValueError, match=r"(?s)quantile.*max_samples.*std_alpha"):
        calibrate_input_ranges(converted(), batches(), quantile=0.0, max_samples=0, std_alpha=-1.0)


@pytest.mark.parametrize("data", [[], [torch.zeros(2, 1, 6, 6)]])
def test_data_without_information_is_an_error(data):
    with pytest.raises(ValueError, match=r"no inputs but zeros arrived at the tiles of: 0 \(0, 0\)"):
        calibrate_input_ranges(converted(), data)


def test_a_range_that_was_not_there_before_is_not_learned():
    model = converted()
    before = {name for name, _ in model.named_parameters()}
    calibrate_input_ranges(model, batches())
    assert {name for name, _ in model.named_parameters()} == before


def strided(**range_options):
    """A first layer whose patches overlap, skip and are padded."""
    config = noiseless(pre_post={"input_range": {"enable": True, **range_options}})
    return AnalogConv2d(3, 4, 5, stride=2, padding=2, rpu_config=config)


@pytest.mark.parametrize("method", ["MovingStd", "MovingQuantile", "CacheQuantile", "Max"])
def test_ranges_of_convolutions_are_calibrated_on_maps(method):
    maps = normal(8, 3, 9, 9, seed=3)
    layer = strided().eval()
    calibrate_input_ranges(layer, [maps], method=method, quantile=0.9, std_alpha=2.5, max_samples=10_000)
    expected = {"MovingStd": 2.5 * maps.std(), "Max": maps.abs().max()}.get(method, maps.abs().quantile(0.9))
    assert ranges(layer) == pytest.approx([float(expected)], rel=1e-3)


def test_ranges_of_convolutions_are_initialised_on_maps():
    maps = normal(8, 3, 9, 9, seed=3)
    layer = strided(init_from_data=1, init_std_alpha=2.5).train()
    layer(maps)
    assert ranges(layer) == pytest.approx([2.5 * float(maps.std())], rel=1e-5)


def test_ranges_of_convolutions_learn_from_maps():
    """Each clipped value counts once, by the gradient that all its patches send it."""
    maps = normal(8, 3, 9, 9, seed=3).requires_grad_()
    layer = strided(init_from_data=0, init_value=1.0, decay=0.0, gradient_relative=False).train()
    plain = layer.to_digital()
    wanted = normal(8, 4, 5, 5, seed=4)
    layer(maps).backward(wanted)
    clipped = maps.detach().clamp(-1, 1).requires_grad_()
    plain(clipped).backward(wanted)
    wants = (clipped.grad * maps.sign()).detach()[maps.abs() >= 1].clamp(max=0).sum()
    assert layer.tiles[0].input_range.grad.item() == pytest.approx(wants.item(), rel=1e-3)

from __future__ import annotations

import pytest
import torch
from torch import nn

from simulator.config import CalibrationMethod, InferenceRPUConfig, NoiseManagementType, effective, preset
from simulator.nn import (
    AnalogConv2d,
    AnalogLinear,
    analog_layers,
    calibrate_input_ranges,
    convert_to_analog,
    drift_analog_weights,
    program_analog_weights,
)
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
        assert all(tile.plan.static_scale == 1 and not tile.plan.is_perfect for tile in layer.tiles)


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


def ranged(name):
    """A configuration with input ranges, and noise management of another kind in each."""
    if name == "preset":
        return preset("StandardHWATrainingPreset")
    config = InferenceRPUConfig.model_validate({"pre_post": {"input_range": {"enable": True}}})
    config.mapping.weight_scaling_omega = 1.0
    config.forward.noise_management = name
    return config


def network_on(config):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    for index, parameter in enumerate(model.parameters()):
        parameter.data = 0.3 * normal(*parameter.shape, seed=index)
    return convert_to_analog(model, config, seed=1).eval()


@pytest.mark.parametrize("name", ["AbsMax", "Constant", "AverageAbsMax", "AbsMaxNPSum", "preset"])
@pytest.mark.parametrize("training", [False, True])
def test_state_and_configuration_say_everything_of_a_calibrated_model(name, training):
    model, again = network_on(ranged(name)), network_on(ranged(name))
    calibrate_input_ranges(model, batches())
    again.load_state_dict(model.state_dict())
    outputs = []
    for one in (model, again):
        if not training:
            program_analog_weights(one, repeat=0)
            drift_analog_weights(one, 3600.0)
        outputs.append(one.train(training)(5 * batches(1)[0]))
    assert torch.equal(*outputs)
    assert ranges(model) == ranges(again)


def test_a_model_without_ranges_takes_a_calibrated_state():
    model, again = converted(), converted()
    calibrate_input_ranges(model, batches())
    again.load_state_dict(model.state_dict())
    x = batches(1)[0]
    assert torch.equal(model(x), again(x))
    assert not any(
        tile.input_range.requires_grad for _, layer in analog_layers(model) for tile in layer.tiles
    )


def test_calibration_leaves_the_configuration_as_it_is():
    config = ranged("AbsMax")
    model = network_on(config)
    calibrate_input_ranges(model, batches())
    layers = [layer for _, layer in analog_layers(model)]
    assert all(effective(layer.rpu_config) == effective(config) for layer in layers)


def test_the_configuration_of_layers_cannot_be_changed():
    config = ranged("AbsMax")
    _, layer = next(iter(analog_layers(network_on(config))))
    with pytest.raises(AttributeError, match=r"IOParameters.inp_res: .*convert the network anew"):
        layer.rpu_config.forward.inp_res = 0.5
    config.forward.inp_res = 0.5  # the caller's own stays the caller's
    copied = layer.rpu_config.model_copy(deep=True)
    copied.forward.inp_res = 0.25
    assert layer.rpu_config.forward.inp_res != 0.25


@pytest.mark.parametrize("had_ranges", [False, True])
def test_a_refused_calibration_leaves_the_tiles_as_they_were(had_ranges):
    model = network_on(ranged("AbsMax")) if had_ranges else converted()
    x, before = batches(1)[0], model.state_dict()
    y = model(x)
    with pytest.raises(ValueError, match="no inputs but zeros"):
        calibrate_input_ranges(model, [torch.zeros(2, 1, 6, 6)])
    after = model.state_dict()
    assert {key: value.tolist() for key, value in before.items()} == {
        key: value.tolist() for key, value in after.items()
    }
    assert torch.equal(model(x), y)


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

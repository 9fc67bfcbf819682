"""Tiles that run in one step give what they give step by step, with kernels and in plain torch."""

from __future__ import annotations

import contextlib
import copy
import pickle
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import simulator
from simulator.config import InferenceRPUConfig
from simulator.nn import (
    convert_to_analog,
    drift_analog_weights,
    post_update_step,
    program_analog_weights,
)
from simulator.nn.tile import passes
from simulator.rng import Purpose, as_default, generator
from simulator.tile import compile_plan, fast, forward, path, stages

pytest.importorskip("numba")

LAYERS = {
    "linear": (lambda: nn.Linear(40, 30), (70, 40)),
    "sequence": (lambda: nn.Linear(40, 30), (10, 7, 40)),
    "conv1d": (lambda: nn.Conv1d(6, 20, 3, padding=2, dilation=2), (4, 6, 50)),
    "conv2d": (lambda: nn.Conv2d(6, 12, 3, stride=2, padding=1), (6, 6, 21, 19)),
    "conv2d without bias": (lambda: nn.Conv2d(16, 16, 3, padding=1, bias=False), (6, 16, 9, 11)),
    "one channel": (lambda: nn.Conv2d(1, 5, 5, padding=2), (3, 1, 12, 11)),
    "one output": (lambda: nn.Conv2d(3, 1, 3), (3, 3, 12, 11)),
    "one place": (lambda: nn.Conv2d(3, 4, 5), (8, 3, 5, 5)),
    "pointwise": (lambda: nn.Conv2d(6, 12, 1, stride=2), (6, 6, 21, 19)),
    "grouped": (lambda: nn.Conv2d(6, 12, 3, groups=2), (6, 6, 21, 19)),
    "circular": (lambda: nn.Conv2d(3, 12, 3, padding=1, padding_mode="circular"), (6, 3, 9, 9)),
    "uneven": (lambda: nn.Conv2d(3, 12, 2, padding="same"), (6, 3, 9, 9)),
    "conv3d": (lambda: nn.Conv3d(3, 8, 3, padding=1), (2, 3, 5, 6, 4)),
}
STATIC = {"noise_management": "None", "bound_management": "None", "out_noise": 0.1}
ONE_STEP, STEPS, PLAIN = "one step", "step by step", "plain torch"


def configuration(forward, **mapping):
    range_ = {"enable": True, "init_value": 2.4, "decay": 0.01, "input_min_percentage": 0.5}
    config = {"forward": STATIC | forward, "mapping": mapping, "pre_post": {"input_range": range_}}
    return InferenceRPUConfig.model_validate(config)


def results(how, name, config, *, training, channels_last, of_inputs=True, seed=0):
    """Output and gradients of a layer; how many of its tiles ran in one step."""
    make, shape = LAYERS[name]
    with as_default(seed, Purpose.INITIAL_WEIGHTS):
        model = nn.Sequential(make())
        x = torch.randn(shape).requires_grad_(of_inputs and training)
    model = convert_to_analog(model, config, channels_last=channels_last, check=False).train(training)
    for tile in model[0].tiles:
        tile.range_follows_data = False
        if tile.out_scaling is not None:
            nn.init.constant_(tile.out_scaling, 0.7)
    taken = []
    with pytest.MonkeyPatch.context() as patch:
        run = passes.run_in_one_step
        patch.setattr(passes, "run_in_one_step", lambda *args: taken.append(1) or run(*args))
        if how != ONE_STEP:
            patch.setattr("simulator.tile.path.runs_in_one_step", lambda *_: False)
        with fast.disabled() if how == PLAIN else contextlib.nullcontext():
            given_ = x.detach().clone()
            if not training:
                program_analog_weights(model)
                drift_analog_weights(model, 3600.0)
                with torch.inference_mode():
                    return [model(x)], len(taken)
            y = model(x)
            y.backward(torch.randn(y.shape, generator=generator(3, Purpose.VERIFICATION)))
            assert torch.equal(x, given_)
    gradients = [parameter.grad for parameter in model.parameters()]
    return [y.detach(), *gradients, *([x.grad] if of_inputs else [])], len(taken)


def assert_alike(name, config, *, bits=True, **options):
    ours, taken = results(ONE_STEP, name, config, **options)
    steps, none = results(STEPS, name, config, **options)
    plain, _ = results(PLAIN, name, config, **options)
    assert taken > 0
    assert none == 0
    assert torch.equal(ours[0], steps[0])
    if bits:
        assert torch.equal(ours[0], plain[0])
    for value, other, third in zip(ours, steps, plain, strict=True):
        allowed = {"rtol": 1e-4, "atol": 1e-4 * float(other.abs().max())}
        torch.testing.assert_close(value, other, **allowed)
        torch.testing.assert_close(value, third, **allowed)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_one_step_gives_what_the_steps_give(name, training, channels_last):
    options = {"weight_scaling_omega": 1.0, "weight_scaling_columnwise": True, "max_input_size": 24}
    assert_alike(
        name,
        configuration({}, learn_out_scaling=True, out_scaling_columnwise=True, **options),
        training=training,
        channels_last=channels_last,
    )


@pytest.mark.parametrize("name", LAYERS)
def test_the_first_layers_range_learns_alike(name):
    assert_alike(name, configuration({}), training=True, channels_last=True, of_inputs=False)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(LAYERS)),
    seed=st.integers(0, 1000),
    training=st.booleans(),
    channels_last=st.booleans(),
    forward=st.fixed_dictionaries(
        {
            "inp_res": st.sampled_from([0.0, 1 / 6, 0.01]),
            "out_res": st.sampled_from([0.0, 1 / 14, 0.005]),
            "out_bound": st.sampled_from([0.0, 0.3, 12.0]),
            "out_noise": st.sampled_from([0.0, 0.1]),
            "out_scale": st.sampled_from([1.0, 0.5]),
        }
    ),
    mapping=st.fixed_dictionaries(
        {
            "weight_scaling_omega": st.sampled_from([0.0, 1.0]),
            "weight_scaling_columnwise": st.booleans(),
            "learn_out_scaling": st.booleans(),
            "out_scaling_columnwise": st.booleans(),
            "max_input_size": st.sampled_from([0, 24]),
            "max_output_size": st.sampled_from([0, 5]),
        }
    ),
)
def test_any_configuration_gives_the_same(name, seed, training, channels_last, forward, mapping):  # noqa: PLR0917
    config = configuration(forward, **mapping)
    assert_alike(name, config, training=training, channels_last=channels_last, seed=seed)


# A stage that a path does not name -> a configuration that has it; every stage is here, or one step does it.
BEYOND = {
    stages.StaticScale: {"noise_management": "Constant", "nm_thres": 2.0},
    stages.VectorScale: {"noise_management": "AbsMax"},
    stages.RunningScale: {"noise_management": "AverageAbsMax"},
    stages.Dac: {"inp_bound": 0.5},
    stages.DitheredDac: {"inp_sto_round": True},
    stages.InputNoise: {"inp_noise": 0.1},
    stages.InputAsymmetry: {"inp_asymmetry": 0.1},
    stages.PerfectProduct: {"is_perfect": True},
    stages.SeparatePasses: {"mv_type": "PosNegSeparate"},
    stages.IrDrop: {"ir_drop": 1.0},
    stages.OutputLine: {"r_series": 0.1},
    stages.ReadNoise: {"w_noise": 0.1, "w_noise_type": "PCMRead"},
    stages.Nonlinearity: {"out_nonlinearity": 0.5},
    stages.SlopeCalibration: {"out_nonlinearity": 0.5, "slope_calibration": 0.5},
    stages.OutputAsymmetry: {"out_asymmetry": 0.1},
    stages.SpreadOutputNoise: {"out_noise_std": 0.5},
    stages.DitheredAdc: {"out_sto_round": True},
    stages.BoundManagement: {"bound_management": "Iterative"},
}


def test_every_stage_is_done_in_one_step_or_shown_to_be_beyond_it():
    assert BEYOND.keys() == (forward.STEPS.keys() | forward.WOVEN_IN) - path.ONE_STEP.stages


@pytest.mark.parametrize(("stage", "options"), BEYOND.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_what_does_more_goes_step_by_step(stage, options):
    config = configuration(options)
    plan, _ = compile_plan(config.forward).after_input_range()
    assert stage in plan.kinds
    _, taken = results(ONE_STEP, "conv2d", config, training=True, channels_last=True)
    assert taken == 0


@pytest.mark.parametrize("forward", [{"ir_drop": 1.0}, {"w_noise": 0.1, "w_noise_type": "PCMRead"}])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["conv2d", "one channel", "grouped"])
def test_channels_last_step_by_step_is_alike_with_and_without_kernels(name, training, forward):
    config = configuration({"out_res": 0.0, **forward})
    options = {"training": training, "channels_last": True}
    ours, plain = (results(how, name, config, **options)[0] for how in (STEPS, PLAIN))
    for value, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("what", ["inputs", "input_range", "mapping_scale", "out_scaling"])
def test_what_was_overwritten_before_the_backward_pass_is_told_of(what):
    config = configuration({}, weight_scaling_omega=1.0, learn_out_scaling=True)
    model = convert_to_analog(nn.Sequential(nn.Linear(8, 4)), config)
    x = torch.randn(5, 8).requires_grad_().clone()
    y = model(x)
    with torch.no_grad():
        (x if what == "inputs" else getattr(model[0].tiles[0], what)).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_weights_that_change_are_laid_out_anew():
    config = configuration({"out_noise": 0.0})
    model = convert_to_analog(nn.Sequential(nn.Conv2d(3, 4, 3)), config, channels_last=True).eval()
    x = torch.rand(2, 3, 8, 8, generator=generator(0, Purpose.VERIFICATION))
    (tile,) = model[0].tiles

    def output():
        with torch.inference_mode():
            ours = model(x)
            with fast.disabled():
                assert torch.equal(ours, model(x))
        return ours

    program_analog_weights(model)
    first = output()
    drift_analog_weights(model, 3.2e7)
    tile.chip.compensation = None
    drifted = output()
    assert not torch.equal(first, drifted)
    tile.chip.weights_OI.mul_(0.5)
    halved = output()
    with torch.inference_mode():
        tile.chip.weights_OI = tile.chip.weights_OI * 2
        tile.chip.weights_OI.mul_(0.5)
    assert torch.equal(output(), halved)
    x.requires_grad_()
    tile.chip.weights_OI = tile.chip.weights_OI.clone()
    model(x).sum().backward()
    with fast.disabled():
        (expected,) = torch.autograd.grad(model(x).sum(), x)
    torch.testing.assert_close(x.grad, expected)


CHANGES = {
    "range": lambda tile: tile.input_range.data.mul_(0.5),  # which leaves no trace
    "learned scale": lambda tile: tile.out_scaling.data.mul_(0.5),
    "mapping scale": lambda tile: tile.mapping_scale.mul_(0.5),
    "another compensation": lambda tile: setattr(tile.chip, "compensation", tile.chip.compensation * 0.5),
    "compensation": lambda tile: tile.chip.compensation.mul_(0.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_scales_that_change_between_batches_take_effect(change):
    config = configuration({"out_noise": 0.0}, weight_scaling_omega=1.0, learn_out_scaling=True)
    model = convert_to_analog(nn.Sequential(nn.Conv2d(3, 4, 3)), config).eval()
    program_analog_weights(model)
    drift_analog_weights(model, 3600.0)
    x = 3 * torch.rand(2, 3, 8, 8, generator=generator(0, Purpose.VERIFICATION))
    with torch.inference_mode():
        before = model(x)
        change(model[0].tiles[0])
        after = model(x)
        with fast.disabled():
            expected = model(x)
    assert not torch.equal(after, before)
    assert torch.equal(after, expected)


def test_another_memory_format_takes_effect_between_batches():
    config = configuration({"out_noise": 0.0})
    model = convert_to_analog(nn.Sequential(nn.Conv2d(3, 4, 3)), config, channels_last=True).eval()
    program_analog_weights(model)
    x = torch.rand(2, 3, 8, 8, generator=generator(0, Purpose.VERIFICATION))
    with torch.inference_mode():
        before = model(x)
        model[0].channels_last = False
        torch.testing.assert_close(model(x), before)


def test_a_layer_takes_maps_in_any_memory_format():
    config = configuration({})
    for channels_last in (False, True):
        model = convert_to_analog(
            nn.Sequential(nn.Conv2d(3, 4, 3)), config, channels_last=channels_last
        ).eval()
        program_analog_weights(model, repeat=0)
        x = torch.rand(2, 3, 8, 8, generator=generator(0, Purpose.VERIFICATION))
        found = []
        for given_ in (
            x,
            x.to(memory_format=torch.channels_last),
            x.transpose(2, 3).contiguous().transpose(2, 3),
        ):
            model[0].noise_context.at_batch(0)
            found.append(model(given_).detach())
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])
        assert found[0].is_contiguous(memory_format=torch.channels_last) is channels_last


def test_updates_of_weights_with_channels_last_in_memory_arrive():
    config = configuration({}, weight_scaling_omega=1.0, weight_scaling_columnwise=True)
    config.clip.type, config.clip.fixed_value = "FixedValue", 0.5
    model = convert_to_analog(nn.Sequential(nn.Conv2d(3, 4, 3)), config)
    model.to(memory_format=torch.channels_last)
    before = model[0].weight.detach().clone()
    post_update_step(model)
    assert (model[0].weight.abs() <= before.abs() + 1e-7).all()
    assert model[0].weight.abs().max() < 0.51 * before.abs().max()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("make", "shape"), [(lambda: nn.Conv2d(3, 4, 3), (0, 3, 8, 8)), (lambda: nn.Linear(3, 4), (0, 3))]
)
def test_an_empty_batch_gives_nothing(make, shape, channels_last):
    config = configuration({}, learn_out_scaling=True)
    model = convert_to_analog(nn.Sequential(make()), config, channels_last=channels_last)
    x = torch.empty(shape, requires_grad=True)
    y = model(x)
    assert y.shape[:2] == (0, 4)
    y.sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("digital_bias", [False, True])
def test_updates_in_one_pass_are_those_of_the_steps(digital_bias):
    config = configuration(
        {},
        weight_scaling_omega=1.0,
        weight_scaling_columnwise=True,
        digital_bias=digital_bias,
        max_input_size=7,
    )
    config.clip.type, config.clip.fixed_value = "FixedValue", 0.5
    config.remap.type = "ChannelwiseSymmetric"
    with as_default(0, Purpose.INITIAL_WEIGHTS):
        digital = nn.Linear(16, 9)
    found = []
    for how in (contextlib.nullcontext(), fast.disabled()):
        model = convert_to_analog(nn.Sequential(digital), config)
        with how:
            post_update_step(model)
        found.append([*model.parameters(), *(tile.mapping_scale for tile in model[0].tiles)])
    for ours, plain in zip(*found, strict=True):
        assert torch.equal(ours, plain)
    assert not torch.equal(found[0][0], digital.weight)


def test_layers_in_float32_go_with_another_default_type():
    before = torch.get_default_dtype()
    results_ = []
    for dtype in (torch.float32, torch.float64):
        config = configuration({}, weight_scaling_omega=1.0, learn_out_scaling=True)
        with as_default(0, Purpose.INITIAL_WEIGHTS):
            model = convert_to_analog(nn.Sequential(nn.Conv2d(3, 4, 3)), config, channels_last=True)
            x = torch.rand(2, 3, 8, 8)
        torch.set_default_dtype(dtype)
        try:
            y = model(x)
            y.sum().backward()
        finally:
            torch.set_default_dtype(before)
        results_.append([y.detach(), *(parameter.grad for parameter in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results_, strict=True))


@pytest.mark.parametrize("programmed", [False, True])
def test_inputs_of_another_type_than_the_weights_go_step_by_step(programmed):
    config = configuration({"out_noise": 0.0})
    model = convert_to_analog(nn.Sequential(nn.Conv2d(3, 4, 3)), config).double()
    if programmed:
        program_analog_weights(model.eval())
    x = torch.rand(2, 3, 8, 8, dtype=torch.float32)
    torch.testing.assert_close(model(x), model(x.double()))


def test_copies_of_a_model_that_has_run_are_small():
    """What the pass looks up belongs to the process, not to the tile."""
    model = convert_to_analog(nn.Sequential(nn.Linear(3, 4)), configuration({})).eval()
    fresh = len(pickle.dumps(model))
    model(torch.rand(2, 3))
    assert len(pickle.dumps(model)) < fresh + 10_000
    assert torch.equal(copy.deepcopy(model)[0].weight, model[0].weight)


@pytest.mark.parametrize("name", ["conv2d without bias", "linear"])
def test_a_training_step_makes_few_calls_for_each_tile(name):
    """Where layers are small, calls of our own cost as much as what they compute; 142 were 3 % of a step."""
    make, shape = LAYERS[name]
    config = configuration({}, learn_out_scaling=True, weight_scaling_omega=1.0)
    model = convert_to_analog(nn.Sequential(make()), config, channels_last=True, check=False).train()
    x = torch.rand(shape, generator=generator(0, Purpose.VERIFICATION)).requires_grad_()
    package, calls = str(Path(simulator.__file__).parent), []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(package):
            calls.append(frame.f_code.co_name)

    def step():
        model(x).sum().backward()
        post_update_step(model)

    for _ in range(2):
        step()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(before)
    assert "run_in_one_step" in calls
    assert len(calls) <= 110 * len(model[0].tiles)

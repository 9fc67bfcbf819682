"""Compiled kernels give the numbers of the plain torch code, forward and backward."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config import InferenceRPUConfig, IOParameters, preset
from simulator.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear
from simulator.rng import Purpose, generator
from simulator.tile import compile_plan, fast, path
from simulator.tile.fast import conversion
from simulator.tile.input_range import clip_to_range

pytest.importorskip("numba")

CONFIGS = {
    "default": {},
    "static scale": {"noise_management": "None", "bound_management": "None", "out_noise": 0.1},
    "clips": {"noise_management": "None", "bound_management": "None", "out_bound": 0.5, "out_noise": 0.1},
    "hits the bound": {"out_bound": 0.5, "out_noise": 0.05},
    "hits the positive bound": {"out_bound": 0.5, "bm_test_negative_bound": False},
    "maximum": {"noise_management": "Max", "out_noise": 0.1},
    "spread of noise": {"out_noise": 0.1, "out_noise_std": 0.5},
    "read noise of devices": {"w_noise": 0.05, "w_noise_type": "PCMRead", "noise_management": "Constant"},
    "no rounding": {"inp_res": 0.0, "out_res": 0.0, "out_noise": 0.1},
    "no bound": {"out_bound": 0.0, "bound_management": "None", "out_noise": 0.1},
    "scaled": {"out_scale": 0.5, "out_noise": 0.1},
    "saturation": {"out_nonlinearity": 0.5, "out_nonlinearity_std": 0.2, "out_noise": 0.1},
    "wires": {"ir_drop": 1.0, "ir_drop_g_ratio": 200.0, "noise_management": "None"},
}
SUMS = {"read noise": {"w_noise": 0.05, "w_noise_type": "AdditiveConstant"}}


def layers():
    return {
        "linear": (AnalogLinear(40, 30), (300, 40)),
        "sequence": (AnalogLinear(40, 30), (10, 30, 40)),
        "conv1d": (AnalogConv1d(6, 20, 3, padding=2, dilation=2), (4, 6, 90)),
        "conv2d": (AnalogConv2d(5, 12, 3, stride=2, padding=1), (6, 5, 21, 19)),
        "conv3d": (AnalogConv3d(3, 8, 3, padding=1), (2, 3, 7, 9, 8)),
        "pointwise": (AnalogConv2d(6, 12, 1), (6, 6, 21, 19)),
        "pointwise with stride": (AnalogConv2d(6, 12, 1, stride=2), (6, 6, 41, 39)),
        "grouped": (AnalogConv2d(6, 12, 3, groups=2), (6, 6, 21, 19)),
    }


def run(name, forward, *, training=False, seed=0, plain=False, modifier=None, **mapping):
    """Output and gradients of a layer."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        digital, shape = layers()[name]
        x = torch.randn(shape).requires_grad_()
    config = InferenceRPUConfig.model_validate(
        {"forward": forward, "mapping": mapping, "modifier": modifier or {}}
    )
    layer = type(digital).from_digital(digital.to_digital(), config).train(training)
    if plain:
        with fast.disabled():
            return results(layer, x, training)
    return results(layer, x, training)


def results(layer, x, training):
    given = x.detach().clone()
    if not training:
        with torch.inference_mode():
            y = layer(x)
        assert torch.equal(x, given)
        return [y]
    y = layer(x)
    assert torch.equal(x, given)
    y.backward(torch.randn(y.shape, generator=generator(3, Purpose.VERIFICATION)))
    learned = [tile.out_scaling.grad for tile in layer.tiles if tile.out_scaling is not None]
    return [y.detach(), x.grad, layer.weight.grad, layer.bias.grad, *learned]


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("forward", CONFIGS.values(), ids=CONFIGS)
def test_outputs_are_equal_bit_for_bit(name, forward):
    (ours,), (plain,) = run(name, forward), run(name, forward, plain=True)
    assert torch.equal(ours, plain)


@pytest.mark.parametrize("name", layers())
@pytest.mark.parametrize("forward", (CONFIGS | SUMS).values(), ids=CONFIGS | SUMS)
def test_gradients_agree_to_rounding(name, forward):
    both = zip(run(name, forward, training=True), run(name, forward, training=True, plain=True), strict=True)
    for ours, plain in both:
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("columnwise", [False, True])
@pytest.mark.parametrize("forward", [CONFIGS["static scale"], CONFIGS["clips"]], ids=["static", "clips"])
@pytest.mark.parametrize("name", layers())
def test_learned_output_scales_get_their_gradient(name, forward, columnwise):
    mapping = {
        "weight_scaling_omega": 1.0,
        "learn_out_scaling": True,
        "out_scaling_columnwise": columnwise,
        "max_input_size": 24,
    }
    found = [run(name, forward, training=True, plain=plain, **mapping) for plain in (False, True)]
    assert torch.equal(found[0][0], found[1][0])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


def test_a_relu_in_place_may_follow_a_layer_with_learned_scales():
    config = {"forward": CONFIGS["static scale"], "mapping": {"learn_out_scaling": True}}
    layer = AnalogConv2d(3, 4, 3, bias=False, rpu_config=InferenceRPUConfig.model_validate(config))
    torch.relu_(layer(torch.randn(2, 3, 9, 9))).sum().backward()
    assert layer.tiles[0].out_scaling.grad.abs() > 0


@pytest.mark.parametrize("name", layers())
def test_sums_of_squares_agree_to_rounding(name):
    (ours,), (plain,) = run(name, SUMS["read noise"]), run(name, SUMS["read noise"], plain=True)
    different = (ours - plain).abs() > 1e-5
    assert different.float().mean() < 1e-3  # a value at the edge of a step of the ADC may fall to either side


@pytest.fixture(params=["one thread", "two threads", "no OpenMP"])
def threads(request, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1 if request.param == "one thread" else 2)
    if request.param == "no OpenMP":
        monkeypatch.setattr("simulator.tile.fast.calls._openmp", lambda: None)
    yield
    torch.set_num_threads(before)


LARGE = {"clips": CONFIGS["clips"], "hits the bound": CONFIGS["hits the bound"], "default": {}}


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("forward", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("name", ["linear", "conv2d"])
def test_threads_do_not_change_numbers(name, forward):
    """Several tasks for every kernel: outputs of more than three blocks, gradients, hits of bounds."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        digital, shape = {
            "linear": (AnalogLinear(40, 30), (1900, 40)),
            "conv2d": (AnalogConv2d(5, 12, 3, padding=1), (6, 5, 31, 29)),
        }[name]
        x = torch.randn(shape).requires_grad_()
    range_ = {"enable": True, "init_value": 1.5, "decay": 0.01}
    config = {"forward": forward, "pre_post": {"input_range": range_}}
    found = []
    for plain in (False, True):
        layer = (
            type(digital)
            .from_digital(digital.to_digital(), InferenceRPUConfig.model_validate(config))
            .train()
        )
        x.grad = None
        with fast.disabled() if plain else contextlib.nullcontext():
            results_ = [*results(layer, x, training=True), layer.tiles[0].input_range.grad]
        found.append([results_[0], x.grad, *results_[2:]])
    assert torch.equal(found[0][0], found[1][0])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(layers())),
    seed=st.integers(0, 1000),
    forward=st.fixed_dictionaries(
        {
            "inp_res": st.sampled_from([0.0, 1 / 6, 0.01]),
            "out_res": st.sampled_from([0.0, 1 / 14, 0.005]),
            "out_bound": st.sampled_from([0.0, 0.3, 1.0, 12.0]),
            "out_noise": st.sampled_from([0.0, 0.1]),
            "w_noise": st.sampled_from([0.0, 0.1]),
            "w_noise_type": st.sampled_from(["None", "PCMRead"]),
            "noise_management": st.sampled_from(["None", "AbsMax", "AbsMaxNPSum", "Max", "Constant"]),
            "bound_management": st.sampled_from(["None", "Iterative", "IterativeWorstCase"]),
        }
    ),
    columnwise=st.booleans(),
)
def test_any_configuration_gives_equal_outputs(name, seed, forward, columnwise):
    mapping = {"weight_scaling_columnwise": columnwise, "max_input_size": 24}
    (ours,) = run(name, forward, seed=seed, **mapping)
    (plain,) = run(name, forward, seed=seed, plain=True, **mapping)
    assert torch.equal(ours, plain)


def test_values_that_are_not_finite_pass_through_alike():
    y = torch.randn(3, 4, 500, generator=generator(0, Purpose.VERIFICATION))
    y[0, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    options = {"vector_dim": 1, "step": 0.1, "bound": 2.0, "deviation": None, "generator": None}
    converted = conversion.convert_outputs(
        y.clone(),
        conversion.OutputConversion(**options, scale=1.0, finds_saturated=False, tests_negative=True),
    )
    expected = (y / 0.1).round_().mul_(0.1).clamp_(-2, 2)
    assert torch.equal(torch.nan_to_num(converted, 7.0), torch.nan_to_num(expected, 7.0))


@pytest.mark.parametrize("limit", [0.3, 2.0, 50.0])
def test_the_range_learns_alike(limit):
    rule = InferenceRPUConfig().pre_post.input_range.model_copy(update={"decay": 0.01})
    found = []
    for plain in (False, True):
        x = torch.randn(8, 700, generator=generator(0, Purpose.VERIFICATION)).requires_grad_()
        input_range = torch.tensor([limit], requires_grad=True)
        y = clip_to_range(x, input_range, rule, step=0.01)
        upstream = torch.randn(y.shape, generator=generator(1, Purpose.VERIFICATION))
        if plain:
            with fast.disabled():
                y.backward(upstream)
        else:
            y.backward(upstream)
        found.append((x.grad, input_range.grad))
    (d_x, d_range), (plain_d_x, plain_d_range) = found
    assert torch.equal(d_x, plain_d_x)
    torch.testing.assert_close(d_range, plain_d_range, rtol=1e-6, atol=0)  # a sum


def test_double_precision_and_other_layouts_stay_in_torch():
    plan = compile_plan(IOParameters())
    assert not fast.takes(torch.zeros(3, dtype=torch.float64))
    assert path.converts_compiled(plan, torch.zeros(3, 4), None)
    assert not path.converts_compiled(plan, torch.zeros(3, 4).t(), None)
    with fast.disabled():
        assert not path.converts_compiled(plan, torch.zeros(3, 4), None)


@pytest.mark.parametrize("name", ["linear", "conv2d"])
def test_weights_of_each_sample_train_alike(name):
    modifier = {"type": "AddNormal", "std_dev": 0.1, "per_batch_sample": True}
    forward = {"out_noise": 0.1, "noise_management": "None", "bound_management": "None", "out_bound": 0.8}
    both = zip(
        run(name, forward, training=True, modifier=modifier),
        run(name, forward, training=True, modifier=modifier, plain=True),
        strict=True,
    )
    for ours, plain in both:
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["PCMExamplePreset", "StandardHWATrainingPreset"])
@pytest.mark.parametrize(("layer", "shape"), [(AnalogConv2d, (0, 3, 8, 8)), (AnalogLinear, (0, 3))])
def test_an_empty_batch_gives_nothing(layer, shape, name, training):
    sizes = (3, 4, 3) if layer is AnalogConv2d else (3, 4)
    x = torch.empty(shape, requires_grad=training)
    y = layer(*sizes, rpu_config=preset(name)).train(training)(x)
    assert y.shape[:2] == (0, 4)
    if training:
        y.sum().backward()
        assert x.grad.shape == shape

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from simulator.config import InferenceRPUConfig, IOParameters
from simulator.rng import Purpose, generator
from simulator.tile import ConvProduct, analog_product, compile_plan, draw_instance
from tests.golden import oracle

NOISELESS = {"out_noise": 0.0}
STATIC = {"noise_management": "None", "bound_management": "None", **NOISELESS}


def plan_of(**forward):
    return compile_plan(IOParameters(**forward))


def stream(call=0):
    return generator(3, Purpose.FORWARD, "test", call)


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_forward(rng):
    """A random deterministic configuration, with every step of the pass now and then."""
    options = {
        "noise_management": rng.choice(["None", "AbsMax", "AbsMaxNPSum", "Max", "Constant"]),
        "bound_management": rng.choice(["None", "Iterative", "IterativeWorstCase"]),
        "mv_type": rng.choice(["OnePass", "OnePass", "PosNegSeparate", "PosNegSeparateDigitalSum"]),
        "inp_res": rng.choice([-1.0, 1 / 64, 126.0, 0.1]),
        "out_res": rng.choice([-1.0, 1 / 256, 510.0]),
        "out_bound": rng.choice([-1.0, 1.0, 4.0, 12.0]),
        "inp_bound": rng.choice([-1.0, 1.0, 0.7, 2.0]),
        "nm_thres": rng.choice([0.0, 0.0, 0.8]),
        "inp_asymmetry": rng.choice([0.0, 0.1]),
        "out_asymmetry": rng.choice([0.0, 0.05]),
        "ir_drop": rng.choice([0.0, 2.0]),
        "ir_drop_g_ratio": 1e4,
        "r_series": rng.choice([0.0, 0.01]),
        "v_offset_w_min": rng.choice([0.0, -1.0]),
        "out_nonlinearity": rng.choice([0.0, 0.5]),
        "slope_calibration": rng.choice([0.0, 0.5]),
        "out_scale": rng.choice([1.0, 0.5]),
        "bm_test_negative_bound": bool(rng.choice([True, True, False])),
        "out_noise": 0.0,
    }
    return {key: value.item() if hasattr(value, "item") else value for key, value in options.items()}


@pytest.mark.parametrize("seed", range(60))
def test_random_configuration_agrees_with_the_formulas_written_once_more(seed):
    rng = np.random.default_rng(seed)
    config = InferenceRPUConfig(forward=random_forward(rng))
    x = (rng.standard_normal((9, 14)) * rng.choice([0.3, 1.0, 4.0], (9, 1))).astype("f")
    weights = rng.uniform(-0.8, 0.8, (6, 14)).astype("f")
    ours = analog_product(torch.tensor(x), torch.tensor(weights), compile_plan(config.forward)).numpy()
    meant = oracle.forward(x, weights, config)
    far = np.abs(ours - meant) > 2e-5 * np.abs(meant).max() + 1e-6
    assert far.mean() <= 0.02, config.forward  # an element or two on a rounding boundary


def test_perfect_product_is_the_plain_one():
    x, weights = normal(5, 7), normal(3, 7, seed=1)
    result = analog_product(x, weights, plan_of(is_perfect=True))
    torch.testing.assert_close(result, x @ weights.T)


def test_everything_off_is_the_plain_product():
    off = {"inp_bound": -1.0, "out_bound": -1.0, "inp_res": -1.0, "out_res": -1.0}
    x, weights = normal(5, 7), normal(3, 7, seed=1)
    torch.testing.assert_close(analog_product(x, weights, plan_of(**STATIC, **off)), x @ weights.T)


def test_result_of_a_vector_does_not_depend_on_the_others():
    x, weights = normal(16, 20, scale=3.0), normal(8, 20, seed=1)
    plan = plan_of(**NOISELESS)
    together = analog_product(x, weights, plan)
    alone = torch.cat([analog_product(row[None], weights, plan) for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


def test_zero_vector_gives_zero_in_spite_of_output_noise():
    plan = plan_of(out_noise=0.5)
    result = analog_product(torch.zeros(2, 4), normal(3, 4), plan, generator=stream())
    assert torch.equal(result, torch.zeros(2, 3))


def test_more_dimensions_are_more_vectors():
    x, weights = normal(2, 3, 6), normal(4, 6, seed=1)
    plan = plan_of(**NOISELESS)
    flat = analog_product(x.reshape(6, 6), weights, plan)
    torch.testing.assert_close(analog_product(x, weights, plan), flat.reshape(2, 3, 4))


def test_noise_without_a_stream_is_an_error():
    with pytest.raises(ValueError, match="draws noise: pass the generator"):
        analog_product(normal(1, 2), normal(1, 2), plan_of())


def test_equal_streams_give_equal_noise():
    x, weights, plan = normal(5, 7), normal(3, 7, seed=1), plan_of(w_noise=0.1, w_noise_type="PCMRead")
    first, second, third = (analog_product(x, weights, plan, generator=stream(call)) for call in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("kind", ["AdditiveConstant", "PCMRead"])
def test_read_noise_has_the_deviation_of_its_formula(kind):
    plan = plan_of(
        **STATIC, inp_res=-1.0, inp_bound=-1.0, out_res=-1.0, out_bound=-1.0, w_noise=0.1, w_noise_type=kind
    )
    x, weights = normal(1, 7), normal(3, 7, seed=1)
    draws = analog_product(x.repeat(20_000, 1), weights, plan, generator=stream())
    power = x.square() @ (weights.abs().T if kind == "PCMRead" else torch.ones(7, 3))
    torch.testing.assert_close(draws.std(dim=0), 0.1 * power[0].sqrt(), rtol=0.03, atol=0)


def test_ir_drop_is_zero_for_the_first_input_alone():
    plan = plan_of(**STATIC, inp_res=-1.0, out_res=-1.0, ir_drop=1.0, ir_drop_g_ratio=10.0)
    x = torch.zeros(1, 8)
    x[0, 0] = 1.0
    weights = torch.full((1, 8), 0.5)
    assert analog_product(x, weights, plan).item() == pytest.approx(0.5)
    assert analog_product(x.flip(1), weights, plan).item() < 0.5


def test_offsets_of_an_instance_stay_between_calls():
    plan = plan_of(**STATIC, v_offset_std=0.1)
    instance = draw_instance(plan, 50, 8, generator(1, Purpose.INSTANCE, "test"))
    x, weights = normal(2, 8, scale=0.3), normal(50, 8, seed=1)
    first, second = (analog_product(x, weights, plan, instance=instance) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, analog_product(x, weights, plan))


class TestGradients:
    def test_pass_straight_through_rounding(self):
        plan = plan_of(**STATIC, inp_bound=10.0, out_bound=50.0)
        x, weights = normal(4, 6).requires_grad_(), normal(3, 6, seed=1).requires_grad_()
        dy = normal(4, 3, seed=2)
        analog_product(x, weights, plan).backward(dy)
        torch.testing.assert_close(x.grad, dy @ weights.detach())

    def test_of_weights_use_the_quantised_input(self):
        plan = plan_of(**STATIC, inp_bound=10.0, inp_res=0.1, out_bound=50.0)
        x, weights = normal(4, 6), normal(3, 6, seed=1).requires_grad_()
        dy = normal(4, 3, seed=2)
        analog_product(x, weights, plan).backward(dy)
        torch.testing.assert_close(weights.grad, dy.T @ ((x / 2).round() * 2))

    def test_stop_where_the_input_was_clipped(self):
        x = torch.tensor([[0.5, 1.5, -2.0]], requires_grad=True)
        analog_product(x, torch.ones(1, 3), plan_of(**STATIC)).sum().backward()
        assert x.grad.tolist() == [[1.0, 0.0, 0.0]]

    def test_stop_where_the_output_was_clipped(self):
        weights = torch.tensor([[1.0, 1.0], [0.1, 0.1]])
        x = torch.tensor([[0.9, 0.9]], requires_grad=True)
        analog_product(x, weights, plan_of(**STATIC, out_bound=1.0)).sum().backward()
        torch.testing.assert_close(x.grad, torch.tensor([[0.1, 0.1]]))

    def test_survive_bound_management(self):
        x = torch.ones(1, 20, requires_grad=True)
        y = analog_product(x, torch.ones(1, 20), plan_of(**NOISELESS))
        y.sum().backward()
        assert y.item() == pytest.approx(20, rel=0.02)
        torch.testing.assert_close(x.grad, torch.ones(1, 20))

    def test_do_not_pass_through_the_absolute_maximum(self):
        x, weights = normal(1, 6).requires_grad_(), normal(1, 6, seed=1)
        analog_product(x, weights, plan_of(**NOISELESS, bound_management="None")).sum().backward()
        torch.testing.assert_close(x.grad, weights)

    def test_reach_an_output_scale_that_learns(self):
        scale = torch.ones(3, requires_grad=True)
        plan = plan_of(**NOISELESS)
        y = analog_product(normal(4, 6), normal(3, 6, seed=1), plan, output_scale=scale)
        y.sum().backward()
        torch.testing.assert_close(scale.grad, y.detach().sum(dim=0))


def conv_product(channels, kernel, **options):
    sizes = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), **options}
    return ConvProduct(kernel_size=kernel, channels=channels, **sizes)


CONVOLUTIONS = [
    {"padding": (1, 1)},
    {"stride": (2, 1), "padding": (0, 2)},
    {"dilation": (2, 1), "padding": (2, 1), "stride": (1, 2)},
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
@pytest.mark.parametrize("trim", [(0, 0), (4, 2)])
@pytest.mark.parametrize("with_gradient", [False, True])
def test_unfolded_convolution_is_the_native_one(options, trim, with_gradient):
    leading, trailing = trim
    product = conv_product(3, (3, 3), **options, leading=leading, trailing=trailing)
    x = normal(2, 3, 9, 8).requires_grad_(with_gradient)
    weights = normal(4, 27 - leading - trailing, seed=1)
    native = analog_product(x, weights, plan_of(**STATIC, inp_res=1 / 64, ir_drop=1.0), product=product)
    unfolded = analog_product(
        x, weights.expand(2, -1, -1), plan_of(**STATIC, inp_res=1 / 64, ir_drop=1.0), product=product
    )
    torch.testing.assert_close(native, unfolded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_convolution_with_a_scale_per_patch_is_a_product_with_every_patch(options):
    product = conv_product(3, (3, 3), **options)
    x, weights, plan = (
        normal(5, 3, 9, 8, scale=2.0),
        normal(4, 27, seed=1),
        plan_of(**NOISELESS, out_bound=4.0),
    )
    sizes = {
        key: options.get(key, default) for key, default in (("padding", 0), ("stride", 1), ("dilation", 1))
    }
    patches = functional.unfold(x, (3, 3), **sizes).transpose(1, 2)
    meant = analog_product(patches, weights, plan).transpose(1, 2)
    ours = analog_product(x, weights, plan, product=product)
    torch.testing.assert_close(ours.flatten(2), meant, rtol=1e-5, atol=1e-5)


def test_large_convolution_is_unfolded_in_parts_with_the_same_result(monkeypatch):
    product = conv_product(3, (3, 3))
    x, weights, plan = normal(6, 3, 9, 9), normal(4, 27, seed=1), plan_of(**NOISELESS)
    whole = analog_product(x, weights, plan, product=product)
    monkeypatch.setattr("simulator.tile.forward._CHUNK_ELEMENTS", 1)
    torch.testing.assert_close(analog_product(x, weights, plan, product=product), whole)


@pytest.mark.parametrize("static", [True, False])
def test_weights_of_their_own_for_every_sample(static):
    plan = plan_of(**(STATIC if static else {**NOISELESS, "out_bound": 2.0}))
    x, weights = normal(3, 5, 6), normal(3, 4, 6, seed=1)
    ours = analog_product(x, weights, plan)
    for sample in range(3):
        torch.testing.assert_close(ours[sample], analog_product(x[sample], weights[sample], plan))


def test_infinite_bounds_mean_none():
    plan = plan_of(out_bound=math.inf, inp_bound=math.inf, noise_management="None", out_noise=0.0)
    x, weights = 100 * normal(2, 3), normal(2, 3, seed=1)
    torch.testing.assert_close(analog_product(x, weights, plan), x @ weights.T)


@pytest.mark.parametrize(("management", "expected"), [("Constant", 1.8), ("AbsMax", 1.8), ("None", 2.0)])
def test_the_second_round_of_the_worst_case_has_the_scale_of_the_sums(management, expected):
    """That is 0.6 * 5 / 1 = 3, where 2 / 3 is rounded to 0.6; without noise management the factor 2 follows."""
    options = {"noise_management": management, "bound_management": "IterativeWorstCase"}
    plan = plan_of(**NOISELESS, **options, inp_res=-1.0, inp_bound=-1.0, out_bound=1.0, out_res=0.1)
    result = analog_product(torch.full((1, 10), 0.5), torch.full((1, 10), 0.4), plan)
    assert result.item() == pytest.approx(expected, rel=1e-6)


def test_the_scale_of_the_sums_refers_to_a_bound_of_one_where_there_is_none():
    plan = plan_of(**NOISELESS, noise_management="AbsMaxNPSum", out_bound=0.0, inp_res=0.1, max_bm_res=10)
    x = torch.full((1, 10), 0.5)  # 0.6 * 5 / 1 = 3, where 1 / 6 is rounded to 0.2
    assert analog_product(x, torch.full((1, 10), 0.4), plan).item() == pytest.approx(0.2 * 3 * 4, rel=1e-6)

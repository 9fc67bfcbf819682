"""Random configurations over the whole space of the forward pass: every quick way gives what plain torch gives.

A tile runs in one of many ways: in one step, by kernels, on whole maps, on patches, learning from few inputs.
Plain torch goes step by step; the formulas of the golden oracle and finite differences know none of them.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from simulator.config import InferenceRPUConfig, IOParameters
from simulator.config.support import unsupported
from simulator.nn import convert_to_analog, drift_analog_weights, program_analog_weights
from simulator.nn.tile import passes
from simulator.rng import Purpose, as_default, generator
from simulator.tile import analog_product, compile_plan, fast, forward, input_range
from tests.golden import oracle

Node = dict[str, Any]

LAYERS = {
    "linear": (lambda: nn.Linear(40, 9), (50, 40)),
    "small": (lambda: nn.Linear(3, 2), (7, 3)),
    "wide": (lambda: nn.Linear(130, 12), (12, 130)),
    "sequence": (lambda: nn.Linear(20, 9, bias=False), (5, 7, 20)),
    "conv1d": (lambda: nn.Conv1d(6, 8, 3, padding=2, dilation=2), (2, 6, 18)),
    "conv2d": (lambda: nn.Conv2d(4, 8, 3, stride=2, padding=2), (2, 4, 9, 7)),
    "pointwise": (lambda: nn.Conv2d(6, 8, 1, bias=False), (3, 6, 7, 5)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 6, 5)),
    "circular": (lambda: nn.Conv2d(2, 5, 3, padding=1, padding_mode="circular"), (2, 2, 6, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2, padding=1), (2, 2, 4, 5, 3)),
}
STEPS = (126.0, 127.0, 25.0, 1 / 64, 0.3, 2.0)  # even, odd, and some that do not fill the bound


# What a field may be, the usual value first: that is drawn half of the time.
FORWARD: dict[str, tuple[Any, ...]] = {
    "is_perfect": (False, False, True),
    "mv_type": ("OnePass", "PosNegSeparate", "PosNegSeparateDigitalSum", "Ideal"),
    "inp_bound": (1.0, 0.7, 1.7, -1.0, "inf"),
    "inp_asymmetry": (0.0, 0.1, -0.05),
    "out_bound": (12.0, 0.6, 2.5, -1.0, "inf"),
    "out_asymmetry": (0.0, 0.05, -0.1),
    "out_scale": (1.0, 0.6),
    "ir_drop": (0.0, 1.0),
    "ir_drop_g_ratio": (2000.0,),
    "out_nonlinearity": (0.0, 0.4, -0.4),
    "slope_calibration": (0.0, 0.5),
    "v_offset_w_min": (-1.0, 0.0, -0.3),
    "r_series": (0.0, 0.03),
    "max_bm_factor": (1000, 2),
    "max_bm_res": (0.25, 1.0),
    "bm_test_negative_bound": (True, False),
    "nm_thres": (0.0, 0.6, 1.5),
    "nm_assumed_wmax": (0.6, 0.2),
    "nm_decay": (0.001, 0.3),
    "noise_management": ("AbsMax", "None", "Max", "Constant", "AbsMaxNPSum", "AverageAbsMax"),
    "bound_management": ("Iterative", "None", "IterativeWorstCase"),
    "inp_res": STEPS,
    "out_res": STEPS,
}
SPREADS: dict[str, tuple[Any, ...]] = {
    "out_nonlinearity_std": (0.0, 0.2),
    "v_offset_std": (0.0, 0.1),
    "w_read_asymmetry_dtod": (0.0, 0.1),
}
NOISE: dict[str, tuple[Any, ...]] = {
    "inp_noise": (0.0, 0.03),
    "inp_sto_round": (False, True),
    "out_sto_round": (False, True),
    "out_noise": (0.05, 0.0),
    "out_noise_std": (0.0, 0.3),
    "w_noise": (0.0, 0.03),
    "w_noise_type": ("None", "AdditiveConstant", "PCMRead"),
}
NOISELESS = {"out_noise": st.just(0.0)}


def test_the_space_has_every_field():
    assert {**FORWARD, **SPREADS, **NOISE}.keys() == IOParameters.model_fields.keys()


def often(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(usual), st.sampled_from(others)) if others else st.just(usual)


def drawn_from(table: dict[str, tuple[Any, ...]]) -> Node:
    return {field: often(*values) for field, values in table.items()}


OFF = {"inp_res": st.just(-1.0), "out_res": st.just(-1.0)}
RANGE: dict[str, tuple[Any, ...]] = {
    "enable": (True, False),
    "learn_input_range": (True, False),
    "init_value": (2.4, 0.9),
    "init_from_data": (0, 5),
    "decay": (0.0, 0.01),
    "input_min_percentage": (0.5,),
    "gradient_relative": (True, False),
    "manage_output_clipping": (False, True),
}
MAPPING: dict[str, tuple[Any, ...]] = {
    "weight_scaling_omega": (1.0, 0.0, 0.6),
    "weight_scaling_columnwise": (True, False),
    "learn_out_scaling": (True, False),
    "out_scaling_columnwise": (True, False),
    "digital_bias": (True, False),
    "max_input_size": (512, 24, 0),
    "max_output_size": (512, 5, 0),
}
MODIFIER: dict[str, tuple[Any, ...]] = {
    "type": ("None", "AddNormal", "Discretize"),
    "std_dev": (0.05,),
    "res": (0.1,),
    "per_batch_sample": (False, True),
    "pdrop": (0.0, 0.2),
}


def possible(node: Node) -> bool:
    return not unsupported(InferenceRPUConfig.model_validate(node))


def configurations(forward: Node, **parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.fixed_dictionaries({"forward": st.fixed_dictionaries(forward), **parts}).filter(possible)


EVERYTHING = configurations(
    drawn_from({**FORWARD, **SPREADS, **NOISE}),
    pre_post=st.fixed_dictionaries({"input_range": st.fixed_dictionaries(drawn_from(RANGE))}),
    mapping=st.fixed_dictionaries(drawn_from(MAPPING)),
    modifier=st.fixed_dictionaries(drawn_from(MODIFIER)),
)


def drawn(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )


def model_of(name: str, node: Node, *, channels_last: bool = False) -> tuple[nn.Module, torch.Tensor]:
    """An analog layer with weights that use the range of its tiles, and inputs beyond the range of some."""
    make, shape = LAYERS[name]
    with as_default(1, Purpose.INITIAL_WEIGHTS):
        layer = make()
        with torch.no_grad():
            layer.weight.mul_(0.8 / layer.weight.abs().max())
        x = torch.randn(shape)
    config = InferenceRPUConfig.model_validate(node)
    model = convert_to_analog(nn.Sequential(layer), config, channels_last=channels_last, check=False)
    for tile in model[0].tiles:
        if tile.out_scaling is not None:
            nn.init.constant_(tile.out_scaling, 0.7)
        if tile.average_abs_max is not None:
            tile.average_abs_max.fill_(1.4)
    return model, x


@contextlib.contextmanager
def step_by_step():
    """Plain torch, each step by itself, nothing converted anew, every input looked at."""
    with pytest.MonkeyPatch.context() as patch, fast.disabled():
        patch.setattr("simulator.tile.path.runs_in_one_step", lambda *_: False)
        patch.setattr("simulator.tile.path.learns_from_few_inputs", lambda *_, **__: False)
        patch.setattr("simulator.nn.tile.passes.converted_again", lambda *_: contextlib.nullcontext())
        yield


def seen(name: str, node: Node, *, channels_last: bool, of_inputs: bool) -> dict[str, torch.Tensor]:
    """What a training step gives, and an evaluation after programming."""
    model, x = model_of(name, node, channels_last=channels_last)
    x.requires_grad_(of_inputs)
    y = model.train()(x)
    y.backward(torch.randn(y.shape, generator=generator(3, Purpose.VERIFICATION)))
    found = {"y": y.detach()} | ({"dx": x.grad} if of_inputs else {})
    found |= {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    model.eval()
    program_analog_weights(model)
    drift_analog_weights(model, 3600.0)
    with torch.inference_mode():
        found["evaluated"] = model(x)
    found |= {
        f"compensation {index}": tile.chip.compensation
        for index, tile in enumerate(model[0].tiles)
        if tile.chip.compensation is not None
    }
    return found


def share_apart(ours: torch.Tensor, other: torch.Tensor, rtol: float) -> float:
    """The share of values that are further apart than rounding explains."""
    allowed = rtol * float(other.abs().max()) + 1e-6
    return float(((ours - other).abs() > allowed).float().mean())


def assert_quick_is_plain(name: str, node: Node, **options: bool) -> None:
    quick = seen(name, node, **options)
    with step_by_step():
        plain = seen(name, node, **options)
    assert quick.keys() == plain.keys()
    for key, value in quick.items():
        assert torch.isfinite(value).all(), key
        assert share_apart(value, plain[key], 1e-3) <= 0.02, key


@drawn(50)
@given(st.sampled_from(sorted(LAYERS)), EVERYTHING, st.booleans(), st.booleans())
def test_every_quick_way_gives_what_plain_torch_gives(name, node, channels_last, of_inputs):
    assert_quick_is_plain(name, node, channels_last=channels_last, of_inputs=of_inputs)


# Configurations that a quick way of their own is made for; a field that it leaves out would be missed there.
ON = {"pre_post": {"input_range": {"enable": True, "init_value": 2.4, "init_from_data": 0}}}
ONE_PASS = {"noise_management": "None", "bound_management": "None", "out_noise": 0.05}
QUICK_WAYS: dict[str, tuple[str, Node]] = {
    "in one step": ("conv2d", {"forward": ONE_PASS, **ON}),
    "from few inputs": ("conv1d", {"forward": {**ONE_PASS, "ir_drop": 0.5}, **ON}),
    "on whole maps": ("conv2d", {"forward": ONE_PASS}),
    "on patches": ("grouped", {"forward": {"out_noise": 0.05}}),
    "in rows": ("linear", {"forward": {"out_noise": 0.05}}),
}


# What some fields need beside them to have an effect.
BESIDE: Node = {
    "out_nonlinearity_std": {"out_nonlinearity": 0.4},
    "slope_calibration": {"out_nonlinearity": 0.4},
    "ir_drop_g_ratio": {"ir_drop": 1.0},
    "w_read_asymmetry_dtod": {"mv_type": "PosNegSeparate"},
    "v_offset_w_min": {"v_offset_std": 0.1},
    "max_bm_factor": {"bound_management": "Iterative", "out_bound": 0.6},
    "max_bm_res": {"bound_management": "Iterative", "out_bound": 0.6},
    "bound_management": {"out_bound": 0.6},
    "nm_decay": {"noise_management": "AverageAbsMax"},
    "w_noise": {"w_noise_type": "AdditiveConstant"},
    "w_noise_type": {"w_noise": 0.03},
}


@pytest.mark.parametrize("field", [*FORWARD, *SPREADS, *NOISE])
@pytest.mark.parametrize("way", QUICK_WAYS)
def test_no_quick_way_leaves_a_field_out(way, field):
    name, base = QUICK_WAYS[way]
    switches = BESIDE.get(field, {})
    for value in {**FORWARD, **SPREADS, **NOISE}[field]:
        node = {**base, "forward": {**base["forward"], **switches, field: value}}
        assert_quick_is_plain(
            name, node, channels_last=way == "in one step", of_inputs=way != "from few inputs"
        )


def test_the_quick_ways_are_taken(monkeypatch):
    taken = []

    def told(owner: Any, name: str) -> None:
        method = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **named: taken.append(name) or method(*args, **named))

    told(passes, "run_in_one_step")
    told(input_range.RangeLearner, "gradient")
    told(forward.MatVec, "map_output")
    expected = {"in one step": "run_in_one_step", "from few inputs": "gradient", "on patches": "map_output"}
    for way, step in expected.items():
        name, node = QUICK_WAYS[way]
        taken.clear()
        seen(name, node, channels_last=False, of_inputs=way != "from few inputs")
        assert step in taken, way


@drawn(80)
@given(configurations({**drawn_from(FORWARD), **NOISELESS}), st.integers(0, 99))
def test_the_forward_pass_is_that_of_the_formulas(node, seed):
    config = InferenceRPUConfig.model_validate(node)
    if config.forward.noise_management == "AverageAbsMax":
        config.forward.noise_management = "AbsMax"
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((40, 14)) * rng.choice([0.3, 1.0, 4.0], (40, 1))).astype("f")
    weights = rng.uniform(-0.8, 0.8, (6, 14)).astype("f")
    ours = analog_product(torch.tensor(x), torch.tensor(weights), compile_plan(config.forward))
    meant = torch.tensor(oracle.forward(x, weights, config))
    assert share_apart(ours, meant, 2e-5) <= 0.03


@drawn(40)
@given(
    st.sampled_from([name for name in sorted(LAYERS) if "conv" in name or name in ("pointwise", "grouped")]),
    configurations(
        {**drawn_from(FORWARD), **NOISELESS},
        pre_post=st.fixed_dictionaries(
            {"input_range": st.fixed_dictionaries({**drawn_from(RANGE), "init_from_data": st.just(0)})}
        ),
        mapping=st.fixed_dictionaries({**drawn_from(MAPPING), "max_input_size": st.just(0)}),
    ),
)
def test_a_convolution_is_the_product_of_its_patches(name, node):
    model, x = model_of(name, node)
    model.eval()
    with torch.no_grad():
        ours = model(x)
        assert ours.shape == meant_of_patches(model[0], x).shape
        assert share_apart(ours, meant_of_patches(model[0], x), 1e-4) <= 0.03


def meant_of_patches(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """Each tile's patches as rows of a plain product."""
    parts = layer._parts.of(x, 1)
    rows: dict[int, torch.Tensor] = {}
    for (slot, tile), part, product in zip(layer.tile_slots(), parts, layer.products_for(x), strict=True):
        places = product.output_size(part)
        patches = product.unfold(part)  # [B, I, L]
        vectors = patches.movedim(1, -1).reshape(-1, patches.shape[1])
        with step_by_step():
            y = tile(vectors, layer.logical_block(slot))
        y = y.reshape(x.shape[0], -1, y.shape[-1]).movedim(-1, 1).reshape(x.shape[0], -1, *places)
        rows[slot.row] = rows[slot.row] + y if slot.row in rows else y
    result = torch.cat([rows[row] for row in sorted(rows)], dim=1)
    if layer.bias is None or layer.analog_bias:
        return result
    return result + layer.bias.reshape(-1, *(1 for _ in result.shape[2:]))


STATIC = {
    "noise_management": st.sampled_from(["None", "Constant"]),
    "bound_management": st.sampled_from(["None", "Iterative"]),  # the worst case's scale is dynamic
    "ir_drop": st.just(0.0),  # a small perturbation, which passes no gradient
    "out_noise": st.just(0.0),
}


@drawn(30)
@given(
    st.sampled_from(sorted(LAYERS)),
    configurations(
        {**drawn_from({**FORWARD, **SPREADS}), **OFF, **STATIC},
        pre_post=st.fixed_dictionaries(
            {
                "input_range": st.fixed_dictionaries(
                    {"enable": st.booleans(), "init_value": st.sampled_from([2.4, 0.9])}
                )
            }
        ),
        mapping=st.fixed_dictionaries(drawn_from(MAPPING)),
    ),
)
def test_gradients_are_finite_differences_where_nothing_is_rounded(name, node):
    node["pre_post"]["input_range"]["init_from_data"] = 0
    model, x = model_of(name, node)
    model.double().train()
    x = x.double().requires_grad_()
    direction = generator(5, Purpose.VERIFICATION)
    wanted = torch.randn(model(x).shape, generator=direction, dtype=torch.float64)
    leaves = [x, *(p for key, p in model.named_parameters() if not key.endswith("input_range"))]
    gradients = torch.autograd.grad((model(x) * wanted).sum(), leaves)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        step = 1e-6 * torch.randn(leaf.shape, generator=direction, dtype=torch.float64)
        with torch.no_grad():
            leaf.add_(step)
            above = (model(x) * wanted).sum()
            leaf.sub_(2 * step)
            below = (model(x) * wanted).sum()
            leaf.add_(step)
        slope = float((gradient * step).sum())
        scale = float((gradient.norm() * step.norm()) / leaf.numel() ** 0.5) + 1e-12
        assert float(above - below) / 2 == pytest.approx(slope, abs=1e-3 * scale, rel=1e-3)

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.config import IOParameters
from simulator.tile.plan import compile_plan, grid_step


@pytest.mark.parametrize(
    ("resolution", "bound", "step"),
    [
        (1 / 64, 1.0, 1 / 32),
        (64, 1.0, 1 / 32),
        (1.0, 1.0, 2.0),
        (0.0, 1.0, 0.0),
        (-1.0, 1.0, 0.0),
        (1 / 64, math.inf, 0.0),
        (1 / 64, -1.0, 0.0),
    ],
)
def test_step_of_a_grid(resolution, bound, step):
    assert grid_step(resolution, bound) == step


def test_step_is_a_float32():
    step = grid_step(1 / 510, 12.0)
    assert step == float(np.float32(step))


@pytest.mark.parametrize("bound", [-1.0, 0.0, math.inf, 1e39])
def test_no_bound_is_infinite_and_has_no_grid(bound):
    plan = compile_plan(IOParameters(out_bound=bound))
    assert (plan.out_bound, plan.out_step, plan.manages_bounds) == (math.inf, 0.0, False)


def test_ideal_product_is_perfect():
    assert compile_plan(IOParameters(mv_type="Ideal")).is_perfect


def test_threshold_is_nothing_without_noise_management():
    assert compile_plan(IOParameters(noise_management="None", nm_thres=2.0)).static_scale == 1.0


def test_constant_management_scales_by_its_threshold():
    assert compile_plan(IOParameters(noise_management="Constant", nm_thres=2.0)).static_scale == 2.0


@pytest.mark.parametrize("forward", [{"is_perfect": True}, {"out_noise": 0.0}])
def test_what_draws_no_noise_needs_no_stream(forward):
    assert not compile_plan(IOParameters(**forward)).draws_noise


def test_rounding_moves_to_the_input_range_where_inputs_are_converted_once():
    static = {"noise_management": "None", "bound_management": "None"}
    plan, step = compile_plan(IOParameters(**static, inp_res=1 / 64)).after_input_range()
    assert (plan.inp_step, plan.inp_bound, step) == (0.0, math.inf, 1 / 32)


@pytest.mark.parametrize(
    "forward",
    [
        {"bound_management": "Iterative", "noise_management": "None"},
        {"bound_management": "None", "noise_management": "AbsMax"},
        {"bound_management": "None", "noise_management": "None", "inp_bound": 0.5},
        {"bound_management": "None", "noise_management": "None", "inp_res": 0.3},
        {"bound_management": "None", "noise_management": "None", "inp_sto_round": True},
    ],
)
def test_rounding_stays_with_the_dac_otherwise(forward):
    plan = compile_plan(IOParameters(**forward))
    assert plan.after_input_range() == (plan, 0.0)

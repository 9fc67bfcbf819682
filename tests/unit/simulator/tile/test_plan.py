from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from simulator.config import IOParameters
from simulator.tile.dac_adc import normalise
from simulator.tile.plan import compile_plan, grid_step
from simulator.tile.stages import NO_ADC, NO_DAC, Nonlinearity


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
    assert (plan.adc, plan.bound_management) == (NO_ADC, None)


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
    assert (plan.dac, step) == (NO_DAC, 1 / 32)


@pytest.mark.parametrize(
    "forward",
    [
        {"bound_management": "Iterative", "noise_management": "None"},
        {"bound_management": "None", "noise_management": "AbsMax"},
        {"bound_management": "None", "noise_management": "None", "inp_res": 0.3},
        {"bound_management": "None", "noise_management": "None", "inp_sto_round": True},
    ],
)
def test_rounding_stays_with_the_dac_otherwise(forward):
    plan = compile_plan(IOParameters(**forward))
    assert plan.after_input_range() == (plan, 0.0)


@pytest.mark.parametrize("steps", [*range(2, 300), 1023, 0.003, 0.009, 0.012, 0.03, 0.04, 0.09])
def test_rounding_moves_only_where_the_top_code_is_within_the_bound(steps):
    plan = compile_plan(IOParameters(bound_management="None", noise_management="None", inp_res=steps))
    top = normalise(torch.ones(1), 1.0, plan.dac.step, math.inf).item()
    moved, _ = plan.after_input_range()
    assert (moved.dac == NO_DAC) == (top <= 1 + 1e-5)


@pytest.mark.parametrize(
    ("forward", "passes"),
    [
        ({"noise_management": "None"}, True),
        ({"noise_management": "None", "inp_res": 127}, True),
        ({"noise_management": "None", "inp_bound": 0.5}, False),
        ({"noise_management": "Constant", "nm_thres": 0.5}, False),
        ({"noise_management": "Constant", "nm_thres": 2.0, "inp_bound": 0.5}, True),
        ({"noise_management": "AbsMax"}, True),
        ({"noise_management": "AbsMax", "nm_thres": 0.5}, False),
        ({"noise_management": "Max"}, False),
        ({"noise_management": "None", "inp_bound": 0.5, "is_perfect": True}, True),
    ],
)
def test_what_a_range_passes_is_known_to_fit_the_dac(forward, passes):
    plan = compile_plan(IOParameters(**forward))
    assert plan.passes_range == passes
    assert plan.after_input_range()[0].dac.gradient_passes_from == (math.inf if passes else 1.0)


@pytest.mark.parametrize("bound", [0.0, "inf"])
def test_what_refers_to_an_output_bound_refers_to_one_without(bound):
    plan = compile_plan(IOParameters(out_bound=bound, out_nonlinearity=0.5))
    assert plan.find(Nonlinearity).slope == 0.5

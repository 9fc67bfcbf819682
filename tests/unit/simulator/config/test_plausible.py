"""Slips of numbers are told of, with what they mean; presets and usual values are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.config import InferenceRPUConfig, resolve, warnings_for
from simulator.config.faults import leaf_fields
from simulator.config.noise_models import NoiseModelConfig
from simulator.config.plausible import RULES, implausible_values, resolution
from simulator.config.presets import PRESETS

DATA = Path(__file__).parent / "data"


def cases(name: str) -> list[dict]:
    return json.loads((DATA / f"{name}.json").read_text())


def said(node: dict, code: str) -> dict[str, str]:
    return {one.pointer: one.message for one in warnings_for(resolve(node)) if one.code == code}


def test_bits_that_were_given_as_steps_are_told_with_the_remedy():
    slip, one_step, formula = cases("config-resolution-steps")
    found = said(slip["rpu_config"], "implausible_value")
    assert found["/forward/inp_res"] == (
        "forward.inp_res is 8: that is 8 steps, about 3 bits; for 8 bits write 254"
    )
    assert "/forward/out_res" in found
    assert "one step" in said(one_step["rpu_config"], "implausible_value")["/forward/inp_res"]
    found = said(formula["rpu_config"], "implausible_value")
    assert "78123 steps, about 16 bits" in found["/forward/inp_res"]
    assert "switches rounding off" in found["/forward/out_res"]


@pytest.mark.parametrize("value", [254, 126, 62, 14, 1 / 254, 1 / 14, 1022, 65534, -1, 0])
def test_resolutions_of_converters_are_plausible(value):
    assert resolution(value) is None


@pytest.mark.parametrize("value", [8, 4, 2, 1, 0.9, 0.2, 13, -8, -1.5, 78123, 1e-6])
def test_resolutions_that_no_converter_has_are_not(value):
    assert resolution(value) is not None


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("forward", "out_noise", 1e6),
        ("forward", "ir_drop", 1e9),
        ("forward", "inp_noise", 3.0),
        ("forward", "inp_asymmetry", 1.5),
        ("forward", "out_bound", 0.001),
        ("forward", "inp_bound", 1000.0),
        ("forward", "nm_thres", 1e-8),
        ("forward", "out_scale", 1e30),
        ("mapping", "weight_scaling_omega", 6.0),
        ("mapping", "weight_scaling_omega", 1e-30),
        ("noise_model", "prog_noise_scale", 100.0),
    ],
)
def test_values_far_from_any_chip_are_told_with_what_they_mean(part, field, value):
    node = {"preset": "PCMExamplePreset", "overrides": {part: {field: value}}}
    message = said(node, "implausible_value")[f"/{part}/{field}"]
    assert message.startswith(f"{part}.{field} is {value:g}: ")


def test_a_conductance_in_siemens_is_told():
    node = {"noise_model": {"type": "StateIndependentNoiseModel", "g_max": 25e-6}}
    assert "25 uS are written 25" in said(node, "implausible_value")["/noise_model/g_max"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_plausible(name):
    assert list(implausible_values(resolve({"preset": name}))) == []


def test_defaults_are_plausible():
    assert list(implausible_values(InferenceRPUConfig())) == []


@pytest.mark.parametrize(
    "forward",
    [{"is_perfect": True, "out_noise": 9.0}, {"inp_res": 8, "inp_bound": "inf"}, {"out_bound": -1.0}],
)
def test_a_value_without_effect_is_not_implausible_as_well(forward):
    assert said({"forward": forward}, "implausible_value") == {}


def test_every_rule_is_about_a_field():
    fields = {dotted for dotted, _, _ in leaf_fields(InferenceRPUConfig())}
    models = {f"noise_model.{name}" for one in NoiseModelConfig.members.values() for name in one.model_fields}
    assert RULES.keys() <= fields | models


def test_a_modifier_in_evaluation_is_told_to_do_nothing_on_a_chip():
    for case in cases("config-modifier-in-evaluation"):
        (message,) = said(case["rpu_config"], "no_effect_once_programmed").values()
        assert "noise_model.states, stuck_at_zero and stuck_at_max" in message
    assert said({"modifier": {"enable_during_test": True}}, "no_effect_once_programmed") == {}


def test_a_readout_below_one_code_is_foreseen():
    coarse, without = cases("config-coarse-adc-compensation")
    assert (
        "step of 1.71 is more than the largest weight"
        in said(coarse["rpu_config"], "coarse_readout")["/drift_compensation"]
    )
    assert said(without["rpu_config"], "coarse_readout") == {}
    assert said({"preset": "PCMExamplePreset"}, "coarse_readout") == {}


@pytest.mark.parametrize(("g_max", "warned"), [(25.0, True), (40.0, False)])
def test_the_preset_that_differs_from_the_reference_says_so(g_max, warned):
    node = {"preset": "ReRamWan2022Preset", "overrides": {"noise_model": {"g_max": g_max}}}
    assert bool(said(node, "deviates")) == warned

from __future__ import annotations

import pytest

from simulator.config import (
    InferenceRPUConfig,
    ReRamWan2022NoiseModel,
    resolve,
    time_warnings,
    training_warnings,
    warnings_for,
)
from simulator.config.faults import leaf_fields
from simulator.config.no_effect import NO_EFFECT


def found(node: dict) -> set[tuple[str, str]]:
    return {(w.pointer, w.code) for w in warnings_for(resolve(node))}


@pytest.mark.parametrize(
    ("node", "pointer"),
    [
        ({"forward": {"v_offset_w_min": 0.3}}, "/forward/v_offset_w_min"),
        ({"forward": {"noise_management": "None", "nm_thres": 1.0}}, "/forward/nm_thres"),
        ({"forward": {"w_noise": 0.02}}, "/forward/w_noise"),
        ({"forward": {"w_noise_type": "PCMRead"}}, "/forward/w_noise_type"),
        ({"forward": {"w_read_asymmetry_dtod": 0.1}}, "/forward/w_read_asymmetry_dtod"),
        ({"forward": {"slope_calibration": 0.5}}, "/forward/slope_calibration"),
        ({"forward": {"bound_management": "None", "max_bm_factor": 3}}, "/forward/max_bm_factor"),
        ({"forward": {"inp_res": -1.0, "inp_sto_round": True}}, "/forward/inp_sto_round"),
        ({"forward": {"is_perfect": True, "out_noise": 0.1}}, "/forward/out_noise"),
        ({"mapping": {"weight_scaling_columnwise": True}}, "/mapping/weight_scaling_columnwise"),
        ({"mapping": {"weight_scaling_lr_compensation": True}}, "/mapping/weight_scaling_lr_compensation"),
        ({"pre_post": {"input_range": {"decay": 0.1}}}, "/pre_post/input_range/decay"),
        ({"modifier": {"std_dev": 0.1}}, "/modifier/std_dev"),
        ({"modifier": {"type": "AddNormal", "std_dev": 0.1, "res": 0.1}}, "/modifier/res"),
        ({"clip": {"type": "FixedValue"}}, "/clip/type"),
        ({"remap": {"remapped_wmax": 0.8}}, "/remap/remapped_wmax"),
    ],
)
def test_field_without_effect_is_named(node, pointer):
    assert (pointer, "no_effect") in found(node)


@pytest.mark.parametrize(
    "node",
    [
        {"forward": {"v_offset_w_min": 0.3, "v_offset_std": 0.1}},
        {"forward": {"noise_management": "Constant", "nm_thres": 1.0}},
        {"forward": {"w_noise": 0.02, "w_noise_type": "PCMRead"}},
        {"forward": {"mv_type": "PosNegSeparate", "w_read_asymmetry_dtod": 0.1}},
        {"modifier": {"type": "AddNormal", "std_dev": 0.1}},
        {"clip": {"type": "FixedValue", "fixed_value": 1.0}},
    ],
)
def test_field_with_effect_is_not(node):
    assert {code for _, code in found(node)} <= {"default_out_noise"}


def test_every_rule_is_about_a_field():
    assert NO_EFFECT.keys() <= {dotted for dotted, _, _ in leaf_fields(InferenceRPUConfig())}


def test_every_modifier_field_has_a_rule():
    fields = {d for d, _, _ in leaf_fields(InferenceRPUConfig()) if d.startswith("modifier.")}
    assert fields - NO_EFFECT.keys() == {"modifier.type", "modifier.pdrop"}


def test_large_default_of_the_output_noise_is_mentioned():
    assert found({}) == {("/forward/out_noise", "default_out_noise")}
    assert found({"forward": {"out_noise": 0.02}}) == set()


@pytest.mark.parametrize(
    ("modifier", "warned"),
    [
        ({}, True),
        ({"type": "AddNormal"}, True),
        ({"type": "AddNormal", "std_dev": 0.1}, False),
        ({"type": "Discretize", "res": 0.1}, False),
        ({"pdrop": 0.1}, False),
        ({"type": "Copy"}, True),
    ],
)
def test_training_without_weight_noise_is_mentioned(modifier, warned):
    codes = [w.code for w in training_warnings(resolve({"modifier": modifier}))]
    assert codes == (["hwa_without_weight_noise"] if warned else [])


def test_times_without_data_are_mentioned():
    config = InferenceRPUConfig(noise_model=ReRamWan2022NoiseModel())
    assert time_warnings(config, [1.0, 86400.0]) == []
    between, outside = time_warnings(config, [0.0, 3600.0, 86400.0, 1e9])
    assert "3600" in between.message
    assert "interpolated" in between.message
    assert "1e+09" in outside.message
    assert time_warnings(InferenceRPUConfig(), [0.0, 1e9]) == []

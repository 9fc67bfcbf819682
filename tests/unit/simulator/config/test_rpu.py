from __future__ import annotations

import copy
import json
import math
import pickle

import pytest
from pydantic import ValidationError

from simulator.config import (
    AnalogMVType,
    BoundManagementType,
    GlobalDriftCompensation,
    InferenceRPUConfig,
    IOParameters,
    NoiseManagementType,
    PCMLikeNoiseModel,
    WeightNoiseType,
    config_hash,
    effective,
)


def errors_of(node: object) -> dict[str, str]:
    """Location -> message of every fault of a configuration."""
    with pytest.raises(ValidationError) as caught:
        InferenceRPUConfig.model_validate(node)
    return {".".join(map(str, line["loc"])): line["msg"] for line in caught.value.errors()}


# As in aihwkit 1.2.0: what a configuration written for it relies on.
REFERENCE_DEFAULTS = {
    "forward.inp_bound": 1.0,
    "forward.inp_res": 0.007936507936507936,
    "forward.out_bound": 12.0,
    "forward.out_res": 0.00196078431372549,
    "forward.out_noise": 0.06,
    "forward.ir_drop_g_ratio": 571428.5714285714,
    "forward.v_offset_w_min": -1.0,
    "forward.max_bm_factor": 1000,
    "forward.max_bm_res": 0.25,
    "forward.noise_management": "AbsMax",
    "forward.bound_management": "Iterative",
    "forward.w_noise_type": "None",
    "forward.mv_type": "OnePass",
    "forward.nm_assumed_wmax": 0.6,
    "forward.nm_decay": 0.001,
    "mapping.digital_bias": True,
    "mapping.weight_scaling_omega": 0.0,
    "mapping.max_input_size": 512,
    "mapping.max_output_size": 512,
    "modifier.rel_to_actual_wmax": True,
    "modifier.coeffs": [0.0105392, 0.0768, -0.046925],
    "modifier.g_max": 25.0,
    "modifier.dorefa_clip": 0.6,
    "clip.fixed_value": -1.0,
    "clip.sigma": 2.5,
    "remap.remapped_wmax": 1.0,
    "pre_post.input_range.enable": False,
    "pre_post.input_range.init_value": 3.0,
    "pre_post.input_range.init_from_data": 100,
    "pre_post.input_range.decay": 0.001,
    "backward.is_perfect": True,
    "update.desired_bl": 31,
    "device.reset_std": 0.01,
    "runtime.data_type": "float",
    "noise_model.type": "PCMLikeNoiseModel",
    "noise_model.g_max": 25.0,
    "drift_compensation.type": "GlobalDriftCompensation",
}


@pytest.mark.parametrize("dotted", REFERENCE_DEFAULTS)
def test_default_is_the_references(dotted):
    node = effective(InferenceRPUConfig())
    for part in dotted.split("."):
        node = node[part]
    assert node == REFERENCE_DEFAULTS[dotted]


def test_python_reads_as_documented():
    rpu_config = InferenceRPUConfig()
    rpu_config.forward.inp_res = 1 / 64.0
    rpu_config.forward.w_noise_type = WeightNoiseType.ADDITIVE_CONSTANT
    rpu_config.forward.w_noise = 0.02
    rpu_config.noise_model = PCMLikeNoiseModel(g_max=25.0)
    rpu_config.drift_compensation = GlobalDriftCompensation()
    assert effective(rpu_config)["forward"]["w_noise_type"] == "AdditiveConstant"


def test_two_configurations_share_nothing():
    first, second = InferenceRPUConfig(), InferenceRPUConfig()
    first.forward.out_noise = 0.5
    assert second.forward.out_noise == 0.06


def test_all_faults_are_reported_at_once_and_located():
    errors = errors_of(
        {
            "forward": {"out_noize": 1, "inp_noise": -1, "w_noise_type": "Fancy"},
            "noise_model": {"type": "PCMLikeNoiseModel", "g_max": -25.0, "gmin": 0},
            "clipp": {},
        }
    )
    assert set(errors) == {
        "forward.out_noize",
        "forward.inp_noise",
        "forward.w_noise_type",
        "noise_model.g_max",
        "noise_model.gmin",
        "clipp",
    }


@pytest.mark.parametrize(
    ("node", "where", "hint"),
    [
        ({"forwrad": {}}, "forwrad", "did you mean 'forward'?"),
        ({"forward": {"out_noize": 1}}, "forward.out_noize", "did you mean 'out_noise'?"),
        ({"pre_post": {"input_rnage": {}}}, "pre_post.input_rnage", "did you mean 'input_range'?"),
        (
            {"pre_post": {"input_range": {"Enable": True}}},
            "pre_post.input_range.Enable",
            "did you mean 'enable'?",
        ),
        (
            {"noise_model": {"type": "PCMLikeNoiseModel", "gmax": 25}},
            "noise_model.gmax",
            "did you mean 'g_max'?",
        ),
        (
            {"noise_model": {"type": "PCMLikeNoiseModel", "g_converter": {"type": "SinglePairConverter"}}},
            "noise_model.g_converter",
            "did you mean 'SinglePairConductanceConverter'?",
        ),
        ({"noise_model": {"type": "PCMLike"}}, "noise_model", "did you mean 'PCMLikeNoiseModel'?"),
    ],
)
def test_unknown_name_names_the_nearest(node, where, hint):
    assert hint in errors_of(node)[where]


def test_assigning_an_unknown_field_names_the_nearest():
    with pytest.raises(AttributeError, match="did you mean 'out_noise'"):
        InferenceRPUConfig().forward.out_noize = 1.0


def test_refused_assignment_leaves_the_configuration_as_it_was():
    config = InferenceRPUConfig()
    with pytest.raises(ValidationError):
        config.forward.w_noise = -1.0
    with pytest.raises(ValidationError):
        config.noise_model.g_max = None
    assert config == InferenceRPUConfig()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, "0.1", True, None, [0.1], 10**400])
def test_number_that_is_none_is_refused(value):
    assert "forward.out_noise" in errors_of({"forward": {"out_noise": value}})


@pytest.mark.parametrize(
    ("field", "value"), [("out_scale", 1e-300), ("out_bound", 1e-300), ("nm_thres", -1e-39)]
)
def test_a_number_that_float32_has_no_digits_for_is_refused(field, value):
    assert "too small for a 32-bit float" in errors_of({"forward": {field: value}})[f"forward.{field}"]


@pytest.mark.parametrize("value", ["inf", math.inf, 1e39])
def test_infinite_bound_is_infinite_and_reads_back(value):
    config = InferenceRPUConfig.model_validate({"forward": {"out_bound": value}})
    assert config.forward.out_bound == math.inf
    text = json.dumps(effective(config), allow_nan=False)
    assert json.loads(text)["forward"]["out_bound"] == "inf"
    assert InferenceRPUConfig.model_validate_json(text) == config


def test_negative_bound_switches_it_off():
    assert IOParameters(out_bound=-1.0, inp_bound=0.0).out_bound == -1.0


@pytest.mark.parametrize("value", [math.nan, -math.inf, "-inf", "nan", "infinite"])
def test_bound_that_is_none_is_refused(value):
    assert "forward.inp_bound" in errors_of({"forward": {"inp_bound": value}})


@pytest.mark.parametrize(
    "node",
    [
        {"backward": {"inp_noise": 0.1}},
        {"backward": {"is_perfect": False}},
        {"update": {"desired_bl": 3}},
        {"update": {"pulse_type": "Stochastic"}},
        {"runtime": {"data_type": "half"}},
        {"runtime": {"offload_input": True}},
        {"device": {"reset_std": 0.0}},
        {"forward": {"mv_type": "SplitMode"}},
        {"forward": {"mv_type": "BitWise"}},
        {"forward": {"bound_management": "Shift"}},
    ],
)
def test_what_means_nothing_for_inference_is_refused_with_the_reason(node):
    with pytest.raises(ValidationError) as caught:
        InferenceRPUConfig.model_validate(node)
    (line,) = caught.value.errors()
    assert line["type"] == "not_for_inference"
    assert len(line["msg"]) > 30


def test_what_means_nothing_for_inference_is_accepted_with_its_defaults():
    node = effective(InferenceRPUConfig())
    inert = {name: node[name] for name in ("backward", "update", "runtime", "device")}
    assert InferenceRPUConfig.model_validate(inert) == InferenceRPUConfig()


def test_backward_takes_the_plain_class_with_its_defaults():
    config = InferenceRPUConfig()
    config.backward = IOParameters(is_perfect=True)
    assert config == InferenceRPUConfig()


def test_enumerations_have_the_references_member_names():
    assert NoiseManagementType.ABS_MAX_NP_SUM == "AbsMaxNPSum"
    assert BoundManagementType.ITERATIVE_WORST_CASE == "IterativeWorstCase"
    assert AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM == "PosNegSeparateDigitalSum"
    assert WeightNoiseType.PCM_READ == "PCMRead"


@pytest.mark.parametrize("node", [None, [], "PCMExamplePreset", {"forward": None}, {"noise_model": []}])
def test_wrong_shape_is_a_validation_error(node):
    errors_of(node)


def test_text_that_is_no_unicode_is_a_validation_error():
    errors_of({"\ud800": 1})
    errors_of({"noise_model": {"type": "\ud800"}})


def test_hash_is_that_of_the_meaning():
    config = InferenceRPUConfig.model_validate({"forward": {"inp_res": 254}})
    same = InferenceRPUConfig.model_validate({"forward": {"inp_res": 254.0, "out_asymmetry": -0.0}})
    assert config_hash(config) == config_hash(same)
    assert config_hash(config) != config_hash(InferenceRPUConfig())


def test_hash_survives_reading_the_effective_configuration_again():
    config = InferenceRPUConfig()
    config.noise_model = PCMLikeNoiseModel(g_max=18.0)
    text = json.dumps(effective(config), allow_nan=False)
    assert config_hash(InferenceRPUConfig.model_validate_json(text)) == config_hash(config)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])  # noqa: S301 - its own bytes
def test_configuration_can_be_copied_and_sent(duplicate):
    config = InferenceRPUConfig()
    config.forward.out_noise = 0.01
    other = duplicate(config)
    assert other == config
    other.forward.out_noise = 0.02
    assert config.forward.out_noise == 0.01

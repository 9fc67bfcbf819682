"""Each field changes what it names and nothing else, or a warning says that it has no effect.

Every row holds a configuration in which the field matters, another value, and the aspects of `observe` that
change with it. `IDLE` holds configurations in which a field does not matter.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.config import (
    ConverterConfig,
    DriftCompensationConfig,
    InferenceRPUConfig,
    NoiseModelConfig,
    resolve,
    warnings_for,
)
from simulator.config.faults import leaf_fields
from simulator.config.no_effect import NO_EFFECT, NOISE_MODEL_NO_EFFECT
from tests.unit.simulator.observing import changed, finite, observe

Node = dict[str, Any]

READ = frozenset({"forward", "training", "compensation"})  # what an ADC gives, or the noise before it
CONVERTED = READ | {"update"}  # the same, with a gradient of its own
INPUT = CONVERTED - {"compensation"}  # unit vectors, which compensation reads with, hardly notice
LOADED = READ - {"compensation"}  # a unit vector draws hardly any current
TRAINED = frozenset({"training", "update"})
RANGE = TRAINED | {"range"}
DEVICES = frozenset({"programmed", "drifted", "compensation"})
TIME = frozenset({"drifted", "compensation"})
MAPPED = DEVICES | {"mapping", "forward", "training", "update"}
MODIFIED = frozenset({"training"})


def forward(**fields: Any) -> Node:
    return {"forward": {"out_noise": 0.0, **fields}}


def modifier(**fields: Any) -> Node:
    return {**forward(), "modifier": fields}


def input_range(**fields: Any) -> Node:
    static = forward(noise_management="None", bound_management="None", out_bound=1.0)
    return {
        **static,
        "pre_post": {"input_range": {"enable": True, "init_from_data": 0, "init_value": 1.5, **fields}},
    }


def with_value(node: Node, dotted: str, value: Any) -> Node:
    result = copy.deepcopy(node)
    *path, last = dotted.split(".")
    inner = result
    for name in path:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return result


ADD_NORMAL = {"type": "AddNormal", "std_dev": 0.05}
PCM_NOISE = {"type": "PCMNoise"}
CHANNELWISE = {"type": "ChannelwiseSymmetric"}

ROWS: dict[str, tuple[Node, Any, frozenset[str]]] = {
    "forward.is_perfect": ({}, True, CONVERTED),
    "forward.mv_type": (forward(w_read_asymmetry_dtod=0.1), "PosNegSeparate", INPUT),
    "forward.inp_bound": (forward(), 0.7, CONVERTED),
    "forward.inp_noise": (forward(), 0.05, CONVERTED),
    "forward.inp_res": (forward(), 1 / 14, INPUT),
    "forward.inp_sto_round": (forward(), True, INPUT),
    "forward.inp_asymmetry": (forward(), 0.1, INPUT),
    "forward.out_bound": (forward(bound_management="None"), 0.5, CONVERTED),
    "forward.out_noise": (forward(), 0.1, READ),
    "forward.out_noise_std": ({}, 0.3, READ),
    "forward.out_res": (forward(), 1 / 30, READ),
    "forward.out_sto_round": (forward(), True, READ),
    "forward.out_scale": (forward(), 1.5, INPUT),
    "forward.out_asymmetry": (forward(), 0.1, CONVERTED),
    "forward.bound_management": (forward(out_bound=0.5), "None", CONVERTED),
    "forward.noise_management": (forward(), "Constant", INPUT),
    "forward.w_noise": (forward(w_noise_type="AdditiveConstant"), 0.05, READ),
    "forward.w_noise_type": (forward(w_noise=0.05), "PCMRead", READ),
    "forward.ir_drop": (forward(ir_drop_g_ratio=10_000.0), 1.0, LOADED),
    "forward.ir_drop_g_ratio": (forward(ir_drop=1.0), 10_000.0, LOADED),
    "forward.out_nonlinearity": (forward(), 0.5, CONVERTED),
    "forward.out_nonlinearity_std": (forward(out_nonlinearity=0.5), 0.3, CONVERTED),
    "forward.slope_calibration": (forward(out_nonlinearity=0.5), 0.5, CONVERTED),
    "forward.v_offset_std": (forward(), 0.1, CONVERTED),
    "forward.v_offset_w_min": (forward(v_offset_std=0.1), -0.5, READ),
    "forward.r_series": (forward(), 0.1, CONVERTED),
    "forward.w_read_asymmetry_dtod": (forward(mv_type="PosNegSeparate"), 0.1, INPUT),
    "forward.max_bm_factor": (forward(out_bound=0.2), 2, CONVERTED),
    "forward.max_bm_res": (forward(out_bound=0.2), 0.02, CONVERTED),
    "forward.bm_test_negative_bound": (forward(out_bound=0.5), False, CONVERTED),
    "forward.nm_thres": (forward(), 0.7, INPUT),
    "forward.nm_assumed_wmax": (forward(noise_management="AbsMaxNPSum", out_bound=3.0), 1.5, INPUT),
    "forward.nm_decay": (forward(noise_management="AverageAbsMax"), 0.3, TRAINED),
    "mapping.digital_bias": (forward(), False, MAPPED | {"tiles"}),
    "mapping.weight_scaling_omega": (forward(), 0.6, MAPPED),
    "mapping.weight_scaling_columnwise": (
        {**forward(), "mapping": {"weight_scaling_omega": 0.6}},
        True,
        MAPPED,
    ),
    "mapping.learn_out_scaling": (forward(), True, TRAINED | {"parameters"}),
    "mapping.out_scaling_columnwise": (
        {**forward(), "mapping": {"learn_out_scaling": True}},
        True,
        TRAINED | {"parameters"},
    ),
    "mapping.max_input_size": (forward(), 10, MAPPED | {"tiles"}),
    "mapping.max_output_size": (forward(), 4, (MAPPED | {"tiles"}) - {"forward", "training"}),
    "pre_post.input_range.enable": (forward(), True, RANGE | {"forward", "parameters"}),
    "pre_post.input_range.learn_input_range": (input_range(), False, RANGE | {"parameters"}),
    "pre_post.input_range.init_value": (input_range(), 0.8, RANGE | {"forward"}),
    "pre_post.input_range.init_from_data": (input_range(), 2, RANGE),
    "pre_post.input_range.init_std_alpha": (input_range(init_from_data=2), 1.0, RANGE),
    "pre_post.input_range.decay": (input_range(input_min_percentage=0.1), 0.1, RANGE),
    "pre_post.input_range.input_min_percentage": (input_range(decay=0.1), 0.1, RANGE),
    "pre_post.input_range.manage_output_clipping": (input_range(output_min_percentage=0.99), True, RANGE),
    "pre_post.input_range.output_min_percentage": (input_range(manage_output_clipping=True), 0.01, RANGE),
    "pre_post.input_range.gradient_scale": (input_range(), 3.0, RANGE),
    "pre_post.input_range.gradient_relative": (input_range(), False, RANGE),
    "modifier.type": (modifier(std_dev=0.05), "MultNormal", MODIFIED),
    "modifier.std_dev": (modifier(**ADD_NORMAL), 0.1, MODIFIED),
    "modifier.per_batch_sample": (modifier(**ADD_NORMAL), True, MODIFIED),
    "modifier.res": (modifier(type="Discretize"), 0.1, MODIFIED),
    "modifier.sto_round": (modifier(type="Discretize", res=0.1), True, MODIFIED),
    "modifier.dorefa_clip": (modifier(type="DoReFa", res=0.01), 0.3, MODIFIED),
    "modifier.pdrop": (modifier(), 0.2, MODIFIED),
    "modifier.enable_during_test": (modifier(**ADD_NORMAL), True, frozenset({"forward"})),
    "modifier.rel_to_actual_wmax": (modifier(**ADD_NORMAL), False, MODIFIED),
    "modifier.assumed_wmax": (modifier(**ADD_NORMAL, rel_to_actual_wmax=False), 0.5, MODIFIED),
    "modifier.copy_last_column": (modifier(**ADD_NORMAL), True, MODIFIED),
    "modifier.coeffs": (modifier(type="Poly", std_dev=1.0), [0.1], MODIFIED),
    "modifier.g_max": (modifier(type="ProgNoise", std_dev=1.0), 5.0, MODIFIED),
    "modifier.pcm_zero_thres": (modifier(**PCM_NOISE), 0.1, MODIFIED),
    "modifier.pcm_t_inference": (modifier(**PCM_NOISE), 3600.0, MODIFIED),
    "modifier.pcm_prob_at_reset": (modifier(**PCM_NOISE), 0.1, MODIFIED),
    "modifier.pcm_prob_at_gmax": (modifier(**PCM_NOISE), 0.1, MODIFIED),
    "modifier.pcm_prob_at_random": (modifier(**PCM_NOISE), 0.1, MODIFIED),
    "modifier.pcm_t0": (modifier(**PCM_NOISE, pcm_t_inference=3600.0), 200.0, MODIFIED),
    "clip.type": ({**forward(), "clip": {"fixed_value": 0.4}}, "FixedValue", TRAINED),
    "clip.fixed_value": ({**forward(), "clip": {"type": "FixedValue"}}, 0.4, TRAINED),
    "clip.sigma": ({**forward(), "clip": {"type": "LayerGaussian"}}, 1.0, TRAINED),
    "remap.type": (forward(), "LayerwiseSymmetric", TRAINED),
    "remap.remapped_wmax": ({**forward(), "remap": CHANNELWISE}, 0.7, TRAINED),
    "remap.max_scale_range": ({**forward(), "remap": CHANNELWISE}, 2.0, TRAINED),
    "remap.max_scale_ref": ({**forward(), "remap": {**CHANNELWISE, "max_scale_range": 2.0}}, 5.0, TRAINED),
    "noise_model": (forward(), {"type": "ReRamWan2022NoiseModel"}, DEVICES),
    "drift_compensation": (forward(), None, frozenset({"compensation"})),
}
# Fields that never have an effect: the reference has them, and they are accepted.
NEVER = {"mapping.weight_scaling_lr_compensation", "pre_post.input_range.calibration_info"}
ONLY_DEFAULT = ("runtime.", "backward.", "update.", "device.")

TABLE = {"g_lst": [0.0, 25.0], "nu_mean_lst": [0.1, 0.05], "nu_std_lst": [0.01, 0.01]}
STEEPER = {**TABLE, "nu_mean_lst": [0.2, 0.1]}
CURVE = {"type": "table", "g": [0.0, 25.0], "value": [0.1, 0.3]}
HIGHER = {**CURVE, "value": [0.2, 0.5]}
MEASURED = {
    "type": "MeasuredNoiseModel",
    "programming": CURVE,
    "drift": {"nu_mean": CURVE, "nu_std": CURVE},
    "read": {"q": CURVE},
}
N_PAIRS = {"type": "NPairConductanceConverter", "f_lst": [1.0, 2.0]}
DRIFTED = frozenset({"drifted"})

# Fields of a scaled noise model: more of the object in which it matters, another value, what changes.
SCALED: dict[str, tuple[Node, Any, frozenset[str]]] = {
    "g_converter": ({}, N_PAIRS, DEVICES),
    "device_state": ({}, "per_device", TIME),
    "prog_coeff": ({}, [0.5, 0.0, 0.0], DEVICES),
    "t_read": ({}, 1e-3, TIME),
    "t_0": ({}, 100.0, TIME),
    "prog_noise_scale": ({}, 2.0, DEVICES),
    "read_noise_scale": ({}, 2.0, TIME),
    "drift_scale": ({}, 2.0, TIME),
}
REFERENCED = {**SCALED, "prog_coeff_g_max_reference": ({"prog_coeff": [0.5, 0.1, 0.0]}, 50.0, DEVICES)}
REFERENCED["g_max"] = ({"prog_coeff": [0.5]}, 10.0, DEVICES)
MODELS: dict[str, tuple[Node, dict[str, tuple[Node, Any, frozenset[str]]]]] = {
    "PCMLikeNoiseModel": ({}, REFERENCED),
    "CustomDriftPCMLikeNoiseModel": (
        {"custom_drift_model": TABLE},
        {**REFERENCED, "custom_drift_model": ({}, STEEPER, TIME), "g_max": ({}, 10.0, TIME)},
    ),
    "HermesNoiseModel": (
        {},
        {
            **REFERENCED,
            "num_devices": ({}, 1, DEVICES),
            "g_converter": ({}, {**N_PAIRS, "g_max": 20.0}, DEVICES),
        },
    ),
    "StateIndependentNoiseModel": (
        {},
        {
            **SCALED,
            "g_max": ({}, 10.0, DEVICES),
            "drift_nu_mean": ({}, 0.3, TIME),
            "drift_nu_std": ({}, 0.2, TIME),
        },
    ),
    "ReRamWan2022NoiseModel": (
        {},
        {
            "g_converter": ({}, N_PAIRS, DEVICES),
            "g_max": ({"coeff_dic": {"1": [1.0], "86400": [2.0]}}, 10.0, DEVICES),
            "coeff_dic": ({}, {"1": [1.0], "86400": [2.0]}, DEVICES),
            "noise_scale": ({}, 2.0, DEVICES),
            "coeff_g_max_reference": ({}, 80.0, DEVICES),
        },
    ),
    "ReRamCMONoiseModel": (
        {},
        {
            "g_max": ({}, 60.0, DEVICES),
            "g_min": ({}, 5.0, DEVICES),
            "device_state": ({}, "per_device", TIME),
            "coeff_dict": ({}, {"0.2": [1.0, 0.0]}, DEVICES),
            "acceptance_range": ({}, 2.0, DEVICES),
            "decay_dict": ({}, {"mean": [-0.3]}, TIME),
            "read_dict": ({}, {"K": 1.0}, TIME),
            "prog_noise_scale": ({}, 50.0, DEVICES),
            "read_noise_scale": ({}, 50.0, TIME),
            "drift_scale": ({}, 2.0, TIME),
        },
    ),
    "MeasuredNoiseModel": (
        MEASURED,
        {
            "g_converter": ({}, N_PAIRS, DEVICES),
            "g_max": ({}, 10.0, DEVICES),
            "device_state": ({}, "per_device", TIME),
            "programming": ({}, HIGHER, DEVICES),
            "drift": ({}, {"nu_mean": HIGHER, "nu_std": CURVE}, TIME),
            "read": ({}, {"q": HIGHER}, TIME),
            "prog_noise_scale": ({}, 2.0, DEVICES),
            "read_noise_scale": ({}, 2.0, TIME),
            "drift_scale": ({}, 2.0, TIME),
        },
    ),
}
LIMITS: dict[str, tuple[Node, Any, frozenset[str]]] = {
    "states": ({}, 4, DEVICES),
    "stuck_at_zero": ({}, 0.2, DEVICES),
    "stuck_at_max": ({}, 0.2, DEVICES),
}
MODEL_ROWS = [
    (name, field, {**forward(), "noise_model": {"type": name, **base, **more}}, value, aspects)
    for name, (base, rows) in MODELS.items()
    for field, (more, value, aspects) in {**rows, **LIMITS}.items()
]
MODEL_NEVER = {("ReRamWan2022NoiseModel", "device_state")}

PERFECT = {"forward": {"is_perfect": True}}
NO_ADC = forward(out_bound=0.0)
IDLE: list[tuple[str, Node, Any]] = [
    *(
        (field, PERFECT, value)
        for field, (_, value, _) in ROWS.items()
        if field.startswith("forward.") and field.split(".")[1] not in ("is_perfect", "out_scale", "mv_type")
    ),
    ("forward.mv_type", forward(), "PosNegSeparate"),
    ("forward.inp_sto_round", forward(inp_res=0.0), True),
    ("forward.inp_sto_round", forward(inp_bound="inf"), True),
    ("forward.out_sto_round", forward(out_res=0.0), True),
    ("forward.out_noise_std", forward(), 0.3),
    ("forward.out_asymmetry", forward(), -0.1),
    ("forward.out_nonlinearity", forward(), -0.5),
    ("forward.out_nonlinearity_std", forward(), 0.3),
    ("forward.out_nonlinearity_std", forward(out_nonlinearity=-0.5), 0.3),
    ("forward.slope_calibration", forward(), 0.5),
    ("forward.slope_calibration", forward(r_series=0.1), -0.5),
    ("forward.slope_calibration", forward(out_nonlinearity=-0.5), 0.5),
    ("forward.ir_drop_g_ratio", forward(), 2000.0),
    ("forward.v_offset_w_min", forward(), -0.5),
    ("forward.w_read_asymmetry_dtod", forward(), 0.1),
    ("forward.w_noise", forward(), 0.05),
    ("forward.w_noise_type", forward(), "PCMRead"),
    ("forward.bound_management", NO_ADC, "None"),
    ("forward.max_bm_factor", forward(out_bound=0.2, bound_management="None"), 2),
    ("forward.max_bm_factor", forward(out_bound="inf"), 2),
    ("forward.max_bm_res", forward(out_bound=0.2, inp_res=0.0), 0.02),
    ("forward.max_bm_res", forward(out_bound=0.2, bound_management="None"), 0.02),
    ("forward.bm_test_negative_bound", forward(out_bound=0.5, bound_management="None"), False),
    ("forward.nm_thres", forward(noise_management="None"), 0.7),
    ("forward.nm_thres", forward(noise_management="AverageAbsMax"), 0.7),
    ("forward.nm_thres", forward(), -1.0),
    ("forward.nm_assumed_wmax", forward(out_bound=3.0), 1.5),
    (
        "forward.nm_assumed_wmax",
        forward(bound_management="IterativeWorstCase", noise_management="None", out_bound=0.5),
        1.5,
    ),
    ("forward.nm_thres", forward(noise_management="AverageAbsMax", bound_management="Iterative"), 0.7),
    ("forward.nm_decay", forward(), 0.3),
    ("mapping.weight_scaling_columnwise", forward(), True),
    ("mapping.weight_scaling_lr_compensation", forward(), True),
    ("mapping.out_scaling_columnwise", forward(), True),
    *(
        (field, forward(), value)
        for field, (_, value, _) in ROWS.items()
        if field.startswith("pre_post.") and not field.endswith("enable")
    ),
    ("pre_post.input_range.init_from_data", input_range(learn_input_range=False), 2),
    ("pre_post.input_range.init_std_alpha", input_range(), 1.0),
    ("pre_post.input_range.decay", input_range(learn_input_range=False, input_min_percentage=0.1), 0.1),
    ("pre_post.input_range.output_min_percentage", input_range(), 0.01),
    *(
        (field, forward(), value)
        for field, (_, value, _) in ROWS.items()
        if field.startswith("modifier.") and field.split(".")[1] not in ("type", "pdrop")
    ),
    ("modifier.rel_to_actual_wmax", modifier(type="MultNormal", std_dev=0.05), False),
    ("modifier.assumed_wmax", modifier(**ADD_NORMAL), 0.5),
    ("modifier.coeffs", modifier(type="Poly"), [0.1]),
    ("modifier.g_max", modifier(**PCM_NOISE, std_dev=1.0, pcm_t_inference=60.0), 5.0),
    ("modifier.res", modifier(type="Discretize"), -1.0),
    ("modifier.per_batch_sample", modifier(type="AddNormal"), True),
    ("clip.type", forward(), "FixedValue"),
    ("clip.fixed_value", forward(), 0.4),
    ("clip.fixed_value", {**forward(), "clip": {"type": "LayerGaussian"}}, -3.0),
    ("clip.sigma", {**forward(), "clip": {"type": "FixedValue", "fixed_value": 0.4}}, 1.0),
    ("remap.remapped_wmax", forward(), 0.7),
    ("remap.max_scale_range", {**forward(), "remap": {"type": "LayerwiseSymmetric"}}, 2.0),
    ("remap.max_scale_ref", {**forward(), "remap": CHANNELWISE}, 5.0),
]
MODEL_IDLE: list[tuple[str, str, Node, Any]] = [
    ("PCMLikeNoiseModel", "g_max", {}, 10.0),
    ("PCMLikeNoiseModel", "g_max", {"prog_coeff": [0.5], "prog_coeff_g_max_reference": 50.0}, 10.0),
    ("HermesNoiseModel", "g_max", {}, 10.0),
    ("ReRamWan2022NoiseModel", "g_max", {}, 10.0),
    ("ReRamWan2022NoiseModel", "device_state", {}, "per_device"),
    ("ReRamWan2022NoiseModel", "coeff_dic", {"noise_scale": 0.0}, {"1": [1.0], "86400": [2.0]}),
    ("ReRamWan2022NoiseModel", "coeff_g_max_reference", {"noise_scale": 0.0}, 80.0),
    ("PCMLikeNoiseModel", "prog_coeff", {"prog_noise_scale": 0.0}, [0.5, 0.0, 0.0]),
    (
        "PCMLikeNoiseModel",
        "prog_coeff_g_max_reference",
        {"prog_noise_scale": 0.0, "prog_coeff": [0.5]},
        50.0,
    ),
    ("PCMLikeNoiseModel", "t_read", {"read_noise_scale": 0.0}, 1e-3),
    ("PCMLikeNoiseModel", "t_0", {"read_noise_scale": 0.0, "drift_scale": 0.0}, 100.0),
    ("StateIndependentNoiseModel", "drift_nu_mean", {"drift_scale": 0.0}, 0.3),
    ("StateIndependentNoiseModel", "drift_nu_std", {"drift_scale": 0.0}, 0.2),
    ("ReRamCMONoiseModel", "coeff_dict", {"prog_noise_scale": 0.0}, {"0.2": [1.0, 0.0]}),
    ("ReRamCMONoiseModel", "acceptance_range", {"prog_noise_scale": 0.0}, 2.0),
    ("ReRamCMONoiseModel", "decay_dict", {"drift_scale": 0.0}, {"mean": [-0.3]}),
    ("ReRamCMONoiseModel", "read_dict", {"read_noise_scale": 0.0}, {"K": 1.0}),
    ("MeasuredNoiseModel", "prog_noise_scale", {"drift": MEASURED["drift"]}, 2.0),
    ("MeasuredNoiseModel", "drift_scale", {"programming": CURVE}, 2.0),
    ("MeasuredNoiseModel", "read_noise_scale", {"programming": CURVE}, 2.0),
]


def warned(node: Node) -> set[str]:
    """Return the dotted names of the fields that a warning calls idle."""
    found = warnings_for(resolve(node))
    return {one.pointer[1:].replace("/", ".") for one in found if one.code == "no_effect"}


def test_the_table_has_every_field():
    fields = {dotted for dotted, _, _ in leaf_fields(InferenceRPUConfig())}
    assert {field for field in fields if not field.startswith(ONLY_DEFAULT)} == ROWS.keys() | NEVER


def test_the_table_has_every_field_of_every_noise_model():
    rows = {(name, field) for name, field, *_ in MODEL_ROWS}
    members = NoiseModelConfig.members.items()
    built_in = {name: one for name, one in members if one.__module__.startswith("simulator.")}
    fields = {(name, field) for name, member in built_in.items() for field in member.model_fields}
    assert {(name, field) for name, field in fields if field != "type"} == rows | MODEL_NEVER


@pytest.mark.parametrize("field", ROWS)
def test_field_changes_what_it_names_and_nothing_else(field):
    base, value, aspects = ROWS[field]
    after = with_value(base, field, value)
    assert changed(base, after) == aspects
    assert finite(observe(after))
    assert field not in warned(after)


@pytest.mark.parametrize(
    ("field", "base", "value", "aspects"),
    [row[1:] for row in MODEL_ROWS],
    ids=[f"{name}.{field}" for name, field, *_ in MODEL_ROWS],
)
def test_field_of_a_noise_model_changes_what_it_names_and_nothing_else(field, base, value, aspects):
    after = with_value(base, f"noise_model.{field}", value)
    if field == "g_converter":
        after["noise_model"].pop("g_max", None)
    assert changed(base, after) == aspects
    assert finite(observe(after))
    assert f"noise_model.{field}" not in warned(after)


@pytest.mark.parametrize(
    ("field", "base", "value"), IDLE, ids=[f"{row[0]}-{i}" for i, row in enumerate(IDLE)]
)
def test_field_without_effect_changes_nothing_and_is_warned_of(field, base, value):
    after = with_value(base, field, value)
    assert changed(base, after) == frozenset()
    assert field in warned(after)


@pytest.mark.parametrize(("name", "field", "more", "value"), MODEL_IDLE)
def test_field_of_a_noise_model_without_effect_is_warned_of(name, field, more, value):
    base = {**forward(), "noise_model": {"type": name, **more}}
    after = with_value(base, f"noise_model.{field}", value)
    assert changed(base, after) == frozenset()
    assert f"noise_model.{field}" in warned(after)


def test_every_warning_is_seen_in_a_test():
    assert NO_EFFECT.keys() == {field for field, *_ in IDLE} & NO_EFFECT.keys()
    assert NOISE_MODEL_NO_EFFECT.keys() <= {field for _, field, *_ in MODEL_IDLE}


CONVERTERS: list[tuple[Node, str, Any, frozenset[str]]] = [
    ({"type": "SinglePairConductanceConverter"}, "g_max", 10.0, frozenset()),
    ({"type": "SinglePairConductanceConverter"}, "g_min", 2.0, DEVICES),
    (N_PAIRS, "f_lst", [1.0, 4.0], DEVICES),
    (N_PAIRS, "g_min", 2.0, DEVICES),
    ({"type": "DualPairConductanceConverter", "f_lst": [1.0, 2.0]}, "f_lst", [1.0, 4.0], DEVICES),
    ({"type": "FusionConductanceConverter"}, "g_max", 20.0, frozenset()),
    ({"type": "SingleDeviceConductanceConverter"}, "g_min", 2.0, DEVICES),
    ({"type": "SingleDeviceConductanceConverter", "g_min": 0.0}, "g_max", 60.0, frozenset()),
    (
        {
            "type": "CustomPairConductanceConverter",
            "f_lst": [1.0],
            "g_lst": [[0.0, 12.5, 25.0], [25.0, 12.5, 0.0]],
        },
        "g_lst",
        [[0.0, 0.0, 25.0], [25.0, 0.0, 0.0]],
        DEVICES,
    ),
]


@pytest.mark.parametrize(("converter", "field", "value", "aspects"), CONVERTERS)
def test_field_of_a_converter_changes_the_devices_alone(converter, field, value, aspects):
    def node(one: Node) -> Node:
        return {**forward(), "noise_model": {"type": "PCMLikeNoiseModel", "g_converter": one}}

    assert converter["type"] in ConverterConfig.members
    assert changed(node(converter), node({**converter, field: value})) == aspects


@pytest.mark.parametrize(
    "name", [n for n in DriftCompensationConfig.members if n != "GlobalDriftCompensation"]
)
def test_kind_of_compensation_changes_the_compensation_alone(name):
    after = {**forward(), "drift_compensation": {"type": name}}
    assert changed(forward(), after) == {"compensation"}


@st.composite
def combinations(draw: st.DrawFn) -> Node:
    """Some rows of the table at once, whatever they do together."""
    node: Node = {}
    for field in draw(st.lists(st.sampled_from(sorted(ROWS)), min_size=2, max_size=8, unique=True)):
        base, value, _ = ROWS[field]
        for part, fields in base.items() if draw(st.booleans()) else ():
            for name, setting in fields.items():
                node.setdefault(part, {})[name] = setting
        node = with_value(node, field, value)
    return node


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(combinations())
def test_what_is_warned_of_has_no_effect_in_any_combination(node):
    config = resolve(node)
    defaults = {dotted: default for dotted, _, default in leaf_fields(InferenceRPUConfig())}
    for field in warned(node):
        if not field.startswith("noise_model."):
            plain = config.model_dump(mode="json")
            default = defaults[field]
            without = with_value(plain, field, default.value if hasattr(default, "value") else default)
            assert changed(plain, without) == frozenset(), field

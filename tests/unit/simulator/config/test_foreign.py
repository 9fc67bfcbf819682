"""Configurations of aihwkit and of its Composer, read as ours."""

from __future__ import annotations

import copy

import pytest

from simulator.config import (
    GlobalDriftCompensation,
    InferenceRPUConfig,
    PCMLikeNoiseModel,
    StateIndependentNoiseModel,
    config_hash,
    preset,
)
from simulator.config.foreign import Dialect, ImportRefusedError, import_foreign
from tests.golden.common import GOLDEN_DIRECTORY, load_sections, rpu_config

GOLDEN = [
    pytest.param(case[key], id=f"{case['id']}-{key}")
    for section in load_sections(GOLDEN_DIRECTORY)
    for case in section.cases
    for key in ("config", "train_config")
    if "class" in (case.get(key) or {})
]
# The reference has this one by name only, and cannot run it either.
SHIFT = {"class": "InferenceRPUConfig", "forward": {"bound_management": "Shift"}}
COMPOSER = {
    "adc": 9,
    "dac": 7,
    "output_noise_strength": 0.04,
    "device_id": "pcm",
    "programming_noise_scale": 1.5,
    "read_noise_scale": 0.5,
    "drift_scale": 2.0,
    "drift_compensation": True,
    "poly_constant_coef": 0.26348,
    "poly_first_order_coef": 1.965,
    "poly_second_order_coef": -1.1731,
}
GENERIC = {**COMPOSER, "device_id": "generic", "drift_mean": 0.06, "drift_std": 0.02}
ANALOG = ("adc", "dac", "output_noise_strength")


def refused(spec):
    """Pointer -> code of every fault."""
    with pytest.raises(ImportRefusedError) as caught:
        import_foreign(spec)
    found = {fault.pointer: fault.code for fault in caught.value.faults}
    lines = [] if caught.value.error is None else caught.value.error.errors()
    return found | {"/" + "/".join(map(str, line["loc"])): line["type"] for line in lines}


def assumed(spec):
    """Pointer -> code of every assumption."""
    return {one.pointer: one.code for one in import_foreign(spec).assumed}


def test_there_are_258_golden_configurations():
    assert len(GOLDEN) == 258


@pytest.mark.parametrize("spec", [param for param in GOLDEN if param.values[0] != SHIFT])
def test_every_golden_configuration_that_the_reference_can_run_is_imported(spec):
    before = copy.deepcopy(spec)
    imported = import_foreign(spec)
    assert imported.dialect is Dialect.AIHWKIT
    assert config_hash(imported.config) == config_hash(rpu_config(spec))
    assert spec == before


def test_what_the_reference_has_by_name_only_is_refused_with_the_reason():
    assert sum(param.values[0] == SHIFT for param in GOLDEN) == 1
    assert refused(SHIFT) == {"/forward/bound_management": "not_for_inference"}


def test_what_is_left_out_has_the_references_default():
    assert import_foreign({"class": "InferenceRPUConfig"}).config == InferenceRPUConfig()
    assert assumed({"class": "InferenceRPUConfig"}) == {}


def test_a_missing_class_is_assumed():
    assert assumed({"forward": {"out_noise": 0.02}}) == {"/class": "class_assumed"}


def test_the_torch_tile_is_told_to_be_simulated_as_the_other():
    assert assumed({"class": "TorchInferenceRPUConfig"}) == {"/class": "torch_tile"}


def test_a_preset_is_a_label():
    spec = {"class": "InferenceRPUConfig", "preset": "StandardHWATrainingPreset"}
    assert import_foreign(spec).config == InferenceRPUConfig()
    assert assumed(spec) == {"/preset": "label_ignored"}


def test_no_compensation_stays_none():
    assert import_foreign({"drift_compensation": None}).config.drift_compensation is None


def test_what_only_in_memory_training_has_is_left_out_and_told():
    spec = {
        "class": "InferenceRPUConfig",
        "backward": {"is_perfect": False, "out_noise": 0.2, "inp_res": 1 / 126},
        "update": {"desired_bl": 10},
        "runtime": {"data_type": "half"},
        "forward": {"out_noise": 0.02},
    }
    imported = import_foreign(spec)
    assert config_hash(imported.config) == config_hash(
        InferenceRPUConfig.model_validate({"forward": {"out_noise": 0.02}})
    )
    assert set(assumed(spec)) == {
        "/backward/is_perfect",
        "/backward/out_noise",
        "/update/desired_bl",
        "/runtime/data_type",
    }


def test_a_wrong_value_of_in_memory_training_is_a_fault_all_the_same():
    spec = {"update": {"desired_bl": "ten", "fixed_bl": False, "blength": 3}}
    assert refused(spec) == {"/update/desired_bl": "int_type", "/update/blength": "unknown_field"}


def test_all_faults_are_told_at_once():
    spec = {
        "class": "SingleRPUConfig",
        "preset": 3,
        "forward": {"out_noize": 1, "mv_type": "SplitMode", "inp_res": "fine"},
        "noise_model": {"type": "PCM"},
        "colour": "red",
    }
    assert refused(spec) == {
        "/class": "unknown_class",
        "/preset": "string_type",
        "/forward/out_noize": "unknown_field",
        "/forward/mv_type": "not_for_inference",
        "/forward/inp_res": "float_type",
        "/noise_model": "unknown_type",
        "/colour": "unknown_field",
    }


def noise_model(**arguments):
    return {"class": "InferenceRPUConfig", "noise_model": arguments}


@pytest.mark.parametrize(
    ("spec", "places"),
    [
        (
            noise_model(
                type="PCMLikeNoiseModel",
                g_max=20.0,
                g_converter={"type": "SinglePairConductanceConverter", "g_max": None},
            ),
            {"/noise_model/g_max": "ignored_argument"},
        ),
        (
            noise_model(type="PCMLikeNoiseModel", prog_coeff_g_max_reference=20.0),
            {"/noise_model/prog_coeff_g_max_reference": "ignored_argument"},
        ),
        (
            noise_model(type="ReRamCMONoiseModel", acceptance_range=0.02),
            {"/noise_model/acceptance_range": "ignored_argument"},
        ),
        (
            noise_model(
                type="PCMLikeNoiseModel", g_max=25.0, g_converter={"type": "FusionConductanceConverter"}
            ),
            {"/noise_model/g_max": "ignored_argument", "/noise_model/g_converter": "deviates"},
        ),
        (
            noise_model(
                type="PCMLikeNoiseModel",
                g_max=40.0,
                g_converter={"type": "FusionConductanceConverter", "g_max": 40},
            ),
            {"/noise_model/g_converter": "deviates"},
        ),
        (noise_model(type="PCMLikeNoiseModel", g_max=None, prog_coeff=None, g_converter=None), {}),
        (noise_model(type="ReRamCMONoiseModel", g_min=None, decay_dict=None, read_dict=None), {}),
        (noise_model(type="ReRamWan2022NoiseModel"), {"/noise_model": "deviates"}),
        ({"class": "InferenceRPUConfig", "modifier": {"pdrop": 0.1}}, {"/modifier/pdrop": "deviates"}),
        (
            {"class": "InferenceRPUConfig", "forward": {"v_offset_std": 0.1}},
            {"/forward/v_offset_std": "deviates"},
        ),
        (
            {"class": "InferenceRPUConfig", "modifier": {"type": "MultNormal", "std_dev": 0.1}},
            {"/modifier/type": "deviates"},
        ),
        (
            {"class": "TorchInferenceRPUConfig", "modifier": {"type": "MultNormal", "std_dev": 0.1}},
            {"/class": "torch_tile"},
        ),
    ],
)
def test_what_the_constructors_do_with_their_arguments_is_told(spec, places):
    assert assumed(spec) == places


def test_the_converters_largest_conductance_counts():
    spec = noise_model(
        type="PCMLikeNoiseModel",
        g_max=20.0,
        g_converter={"type": "SinglePairConductanceConverter", "g_max": 22.0},
    )
    assert import_foreign(spec).config.noise_model.effective_g_max_us == 22.0


def test_wrong_arguments_are_faults_and_not_left_out():
    spec = noise_model(
        type="PCMLikeNoiseModel",
        g_max="big",
        prog_coeff_g_max_reference="x",
        g_converter={"type": "SinglePairConductanceConverter"},
    )
    assert refused(spec) == {
        "/noise_model/g_max": "float_type",
        "/noise_model/prog_coeff_g_max_reference": "float_type",
    }


@pytest.mark.parametrize("nested", [False, True])
def test_a_composer_dictionary_is_read(nested):
    spec = dict(COMPOSER)
    if nested:
        analog = {name: spec.pop(name) for name in ANALOG}
        spec = {"analog_info": analog, "noise_model_info": spec}
    imported = import_foreign(spec)
    config = imported.config
    assert imported.dialect is Dialect.COMPOSER
    assert config.forward.out_res == 1 / (2**9 - 2)
    assert config.forward.inp_res == 1 / (2**7 - 2)
    assert (config.forward.out_noise, config.forward.out_bound) == (0.04, 20.0)
    assert config.noise_model == PCMLikeNoiseModel(
        g_max=25.0,
        prog_coeff=(0.26348, 1.965, -1.1731),
        prog_noise_scale=1.5,
        read_noise_scale=0.5,
        drift_scale=2.0,
    )
    assert config.drift_compensation == GlobalDriftCompensation()
    assert (config.modifier.type, config.modifier.std_dev) == ("AddNormal", 0.1)
    assert (config.clip.type, config.clip.fixed_value) == ("FixedValue", 1.0)
    assert config.mapping.weight_scaling_omega == 1.0
    assert {one.code for one in imported.assumed} == {"g_max_assumed", "template_assumed"}


def test_a_generic_device_is_state_independent():
    config = import_foreign({**GENERIC, "drift_compensation": False}).config
    assert isinstance(config.noise_model, StateIndependentNoiseModel)
    assert (config.noise_model.drift_nu_mean, config.noise_model.drift_nu_std) == (0.06, 0.02)
    assert config.noise_model.prog_coeff == (0.26348, 1.965, -1.1731)
    assert config.drift_compensation is None


def test_what_a_composer_dictionary_leaves_out_is_assumed_and_told():
    found = assumed({"adc": 8})
    defaults = {pointer for pointer, code in found.items() if code == "default_assumed"}
    assert defaults == {
        "/dac",
        "/output_noise_strength",
        "/programming_noise_scale",
        "/read_noise_scale",
        "/drift_scale",
        "/drift_compensation",
        "/poly_constant_coef",
    }
    assert import_foreign({"adc": 8}).config.noise_model.prog_coeff is None


def test_what_has_no_place_in_a_configuration_is_told():
    found = assumed({**COMPOSER, "inference_repeats": 10, "inference_time": 3600, "drift_mean": 0.1})
    assert found["/inference_repeats"] == found["/inference_time"] == "belongs_to_job"
    assert found["/drift_mean"] == "ignored_argument"


def test_the_composers_templates_differ_in_the_mapping():
    old = import_foreign({**COMPOSER, "rpu_config": "OldWebComposerInferenceRPUConfig"}).config
    assert (old.mapping.digital_bias, old.mapping.max_input_size, old.mapping.learn_out_scaling) == (
        False,
        0,
        False,
    )
    plain = import_foreign({**COMPOSER, "rpu_config": "InferenceRPUConfig"}).config
    assert plain.mapping == InferenceRPUConfig().mapping
    assert plain.forward.out_bound == 12.0


def test_all_faults_of_a_composer_dictionary_are_told_at_once():
    spec = {**COMPOSER, "adc": 1, "dac": 8.5, "device_id": "flash", "drift": 1, "read_noise_scale": -1}
    assert refused(spec) == {
        "/adc": "greater_than_equal",
        "/dac": "int_type",
        "/device_id": "enum",
        "/drift": "unknown_field",
        "/read_noise_scale": "greater_than_equal",
    }


def test_two_of_three_coefficients_are_a_fault_where_the_third_should_stand():
    spec = {
        "noise_model_info": {
            key: COMPOSER[key] for key in ("device_id", "poly_constant_coef", "poly_first_order_coef")
        }
    }
    assert refused(spec) == {"/noise_model_info/poly_second_order_coef": "missing"}


def test_a_value_given_twice_is_a_fault():
    assert refused({**COMPOSER, "analog_info": {"adc": 8}}) == {"/analog_info/adc": "given_twice"}


def test_an_exported_preset_reads_as_itself():
    for name in ("PCMExamplePreset", "StandardHWATrainingPreset", "HermesPreset", "ReRamCMOPreset"):
        effective = preset(name).model_dump(mode="json")
        assert config_hash(
            import_foreign({"class": "InferenceRPUConfig", **effective}).config
        ) == config_hash(preset(name))

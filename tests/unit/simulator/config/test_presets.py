from __future__ import annotations

import pytest
from pydantic import ValidationError

from simulator.config import (
    PRESETS,
    HermesNoiseModel,
    InferenceRPUConfig,
    NoiseModelConfig,
    PCMLikeNoiseModel,
    config_hash,
    effective,
    preset,
    resolve,
    unsupported,
    warnings_for,
    with_overrides,
)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_reads_back_and_warns_of_nothing_but_what_the_reference_does_otherwise(name):
    config = preset(name)
    again = InferenceRPUConfig.model_validate(effective(config))
    assert config_hash(again) == config_hash(config)
    codes = [one.code for one in warnings_for(config)]
    assert codes == (["deviates"] if name == "ReRamWan2022Preset" else [])
    assert PRESETS[name].__doc__


def test_there_is_a_preset_for_every_noise_model():
    # Members of other tests' own making have no preset.
    built_in = {n for n, c in NoiseModelConfig.members.items() if c.__module__.startswith("simulator.")}
    assert {preset(name).noise_model.type for name in PRESETS} >= built_in


def test_standard_hwa_training_is_the_references():
    node = effective(preset("StandardHWATrainingPreset"))
    assert (node["forward"]["inp_res"], node["forward"]["out_res"]) == (254.0, 254.0)
    assert (node["forward"]["noise_management"], node["forward"]["nm_thres"]) == ("Constant", 1.0)
    assert (node["forward"]["w_noise"], node["forward"]["w_noise_type"]) == (0.0175, "PCMRead")
    assert (node["mapping"]["max_input_size"], node["mapping"]["max_output_size"]) == (512, 0)
    assert node["pre_post"]["input_range"]["enable"] is True


def test_floating_point_is_perfect():
    assert preset("FloatingPointPreset").forward.is_perfect


def test_presets_are_made_anew():
    preset("PCMExamplePreset").forward.out_noise = 0.5
    assert preset("PCMExamplePreset").forward.out_noise == 0.02


def test_overrides_merge_deeply():
    config = resolve({"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.04}}})
    assert (config.forward.out_noise, config.forward.inp_res) == (0.04, 1 / 64)


def test_preset_without_overrides_is_the_preset():
    assert resolve({"preset": "PCMExamplePreset"}) == preset("PCMExamplePreset")
    assert resolve({"preset": "PCMExamplePreset", "overrides": None}) == preset("PCMExamplePreset")


def test_union_is_merged_while_its_type_stays():
    overrides = {"noise_model": {"drift_scale": 2.0}}
    config = resolve({"preset": "PCMExamplePreset", "overrides": overrides})
    assert config.noise_model == PCMLikeNoiseModel(g_max=25.0, drift_scale=2.0)


def test_union_is_replaced_whole_when_its_type_changes():
    overrides = {"noise_model": {"type": "StateIndependentNoiseModel"}}
    config = resolve({"preset": "PCMExamplePreset", "overrides": overrides})
    assert effective(config)["noise_model"]["type"] == "StateIndependentNoiseModel"
    assert config.noise_model.drift_nu_mean == 0.1


def test_converter_in_a_union_is_replaced_whole_when_its_type_changes():
    base = resolve(
        {
            "noise_model": {
                "type": "PCMLikeNoiseModel",
                "g_converter": {"type": "DualPairConductanceConverter", "f_lst": [1.0, 3.0], "g_max": 20.0},
            }
        }
    )
    merged = with_overrides(base, {"noise_model": {"g_converter": {"g_max": 22.0}}})
    assert merged.noise_model.g_converter.f_lst == (1.0, 3.0)
    replaced = with_overrides(
        base, {"noise_model": {"g_converter": {"type": "SinglePairConductanceConverter"}}}
    )
    assert replaced.noise_model.effective_g_max_us == 25.0


def test_type_that_is_no_union_is_merged():
    base = resolve({"modifier": {"type": "AddNormal", "std_dev": 0.1}})
    assert with_overrides(base, {"modifier": {"type": "MultNormal"}}).modifier.std_dev == 0.1


def test_defaults_that_depend_on_an_override_are_made_anew():
    config = resolve({"preset": "HermesPreset", "overrides": {"noise_model": {"num_devices": 1}}})
    assert config.noise_model == HermesNoiseModel(num_devices=1)


def test_compensation_can_be_switched_off_and_stays_off():
    config = resolve({"preset": "PCMExamplePreset", "overrides": {"drift_compensation": None}})
    assert config.drift_compensation is None
    assert with_overrides(config, {"forward": {"out_noise": 0.1}}).drift_compensation is None


def test_overriding_leaves_the_base_alone():
    base = preset("PCMExamplePreset")
    merged = with_overrides(base, {"noise_model": {"drift_scale": 2.0}})
    merged.forward.out_noise = 0.5
    assert base == preset("PCMExamplePreset")


@pytest.mark.parametrize(
    ("spec", "where", "hint"),
    [
        ({"preset": "PCMExample"}, ("rpu_config", "preset"), "did you mean 'PCMExamplePreset'?"),
        ({"preset": 3}, ("rpu_config", "preset"), "known: "),
        ({"preset": "PCMExamplePreset", "forward": {}}, ("rpu_config", "forward"), "put 'forward' there"),
        ({"preset": "PCMExamplePreset", "overrides": 3}, ("rpu_config", "overrides"), "an object"),
        (
            {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noize": 1}}},
            ("rpu_config", "overrides", "forward", "out_noize"),
            "did you mean 'out_noise'?",
        ),
        ({"forward": {"out_noize": 1}}, ("rpu_config", "forward", "out_noize"), "did you mean 'out_noise'?"),
    ],
)
def test_faults_are_located_in_the_spec(spec, where, hint):
    with pytest.raises(ValidationError) as caught:
        resolve(spec, ("rpu_config",))
    (line,) = caught.value.errors()
    assert line["loc"] == where
    assert hint in line["msg"]


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'HermesPreset'"):
        preset("Hermes")


def test_pcm_example_needs_nothing_that_is_missing():
    assert unsupported(preset("PCMExamplePreset")) == []

"""The table of groups of effects: every field has its place, and a switch changes what it names alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from simulator.config import (
    BoundManagementType,
    InferenceRPUConfig,
    IOParameters,
    NoiseModelConfig,
    PCMLikeNoiseModel,
    WeightNoiseType,
    preset,
)
from simulator.config.compensation import DriftCompensationConfig
from simulator.config.effects import (
    DRIFT_COMPENSATION,
    FORWARD,
    NOISE_MODELS,
    SWITCHED,
    Apart,
    Effect,
    Strength,
    effects_of,
    without_effects,
)
from simulator.config.presets import PRESETS
from simulator.tile import compile_plan
from simulator.tile.stages import (
    Adc,
    BoundManagement,
    Dac,
    InputAsymmetry,
    InputNoise,
    IrDrop,
    Nonlinearity,
    OutputAsymmetry,
    OutputLine,
    OutputNoise,
    ReadNoise,
    SlopeCalibration,
    VectorScale,
)

BUILT_IN = {
    name: kind for name, kind in NoiseModelConfig.members.items() if kind.__module__.startswith("simulator.")
}
STAGES: dict[Effect, tuple[type, ...]] = {
    Effect.INPUT_CONVERTER: (Dac, InputNoise),
    Effect.OUTPUT_CONVERTER: (Adc, BoundManagement),
    Effect.OUTPUT_NOISE: (OutputNoise, ReadNoise),
    Effect.ARRAY: (InputAsymmetry, IrDrop, OutputLine, Nonlinearity, SlopeCalibration, OutputAsymmetry),
}


def everything_on() -> InferenceRPUConfig:
    config = InferenceRPUConfig()
    config.forward = IOParameters(
        inp_noise=0.01, inp_res=1 / 64, inp_asymmetry=0.01, out_bound=10.0, out_noise=0.04,
        out_noise_std=0.1, w_noise=0.02, w_noise_type=WeightNoiseType.PCM_READ, ir_drop=1.0, out_nonlinearity=0.1,
        out_asymmetry=0.01, slope_calibration=0.5, v_offset_std=0.01, r_series=0.01,
        bound_management=BoundManagementType.ITERATIVE,
    )  # fmt: skip
    return config


def test_every_field_of_the_forward_pass_has_one_place() -> None:
    assert set(FORWARD) == set(IOParameters.model_fields)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_field_of_a_noise_model_has_one_place(name: str) -> None:
    assert set(NOISE_MODELS[name]) == set(BUILT_IN[name].model_fields)


def test_no_noise_model_is_in_the_table_that_there_is_not() -> None:
    assert set(NOISE_MODELS) == set(BUILT_IN)


def test_every_field_of_a_drift_compensation_has_one_place() -> None:
    for kind in DriftCompensationConfig.members.values():
        if kind.__module__.startswith("simulator."):
            assert set(DRIFT_COMPENSATION) == set(kind.model_fields)


def test_a_field_of_no_group_says_why() -> None:
    for table in (FORWARD, *NOISE_MODELS.values()):
        assert all(len(place.reason) > 5 for place in table.values() if isinstance(place, Apart))


def test_every_group_has_a_strength_somewhere() -> None:
    places = [place for table in (FORWARD, *NOISE_MODELS.values()) for place in table.values()]
    assert {place.effect for place in places if isinstance(place, Strength)} == set(SWITCHED)


@pytest.mark.parametrize("off", [some for size in range(1, 5) for some in combinations(STAGES, size)])
def test_switched_off_groups_take_their_stages_along_and_change_no_other(off: tuple[Effect, ...]) -> None:
    config = everything_on()
    gone = tuple(stage for effect in off for stage in STAGES[effect])
    whole = compile_plan(config.forward)
    assert all(whole.find(kind) is not None for kind in STAGES[off[0]])
    left = compile_plan(without_effects(config, off).forward)
    assert left.stages == whole.without(*gone).stages or _nearly(left.stages, whole.without(*gone).stages)


def _nearly(left: Any, right: Any) -> bool:
    """A slope calibration is written anew for another bound, which may change its last bit."""
    if [type(one) for one in left] != [type(one) for one in right]:
        return False
    differing = [(one, other) for one, other in zip(left, right, strict=True) if one != other]
    return all(
        (isinstance(one, SlopeCalibration) and one.gain(0.013) == pytest.approx(other.gain(0.013), rel=1e-14))
        # Only the rule AbsMaxNPSum has this limit, which refers to the DAC's step.
        or (isinstance(one, VectorScale) and replace(one, most_maxima=other.most_maxima) == other)
        or (isinstance(one, BoundManagement) and int(one.max_factor) == int(other.max_factor))
        for one, other in differing
    )


@pytest.mark.parametrize("effect", SWITCHED)
def test_a_group_that_is_switched_off_is_off_and_the_others_are_on(effect: Effect) -> None:
    config = everything_on()
    assert effects_of([config]) == SWITCHED
    assert effects_of([without_effects(config, {effect})]) == tuple(
        one for one in SWITCHED if one is not effect
    )


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_with_all_groups_off_nothing_is_left_of_a_preset(name: str) -> None:
    bare = without_effects(preset(name), SWITCHED)
    ranged = bare.pre_post.input_range.enable  # whose clipping is switched on the tile
    assert effects_of([bare]) == ((Effect.INPUT_CONVERTER,) if ranged else ())
    assert bare.drift_compensation is None
    assert bare.mapping == preset(name).mapping


def test_a_switch_leaves_the_given_configuration_as_it_was_and_returns_a_frozen_one() -> None:
    config = everything_on().frozen()
    before = config.model_dump_json()
    bare = without_effects(config, SWITCHED)
    assert config.model_dump_json() == before
    with pytest.raises(AttributeError, match="cannot change"):
        bare.forward.out_noise = 1.0


def test_a_group_that_is_off_already_leaves_the_configuration_itself() -> None:
    config = preset("PCMExamplePreset").frozen()
    assert Effect.ARRAY not in effects_of([config])
    assert without_effects(config, {Effect.ARRAY}) is config


@pytest.mark.parametrize("effect", [Effect.PROGRAMMING, Effect.DRIFT, Effect.READ_NOISE])
def test_effects_of_devices_are_switched_by_their_scales(effect: Effect) -> None:
    model = without_effects(everything_on(), {effect}).noise_model
    assert isinstance(model, PCMLikeNoiseModel)
    scales = {
        Effect.PROGRAMMING: model.prog_noise_scale,
        Effect.DRIFT: model.drift_scale,
        Effect.READ_NOISE: model.read_noise_scale,
    }
    assert scales == {one: 0.0 if one is effect else 1.0 for one in scales}


def test_drift_compensation_is_switched_with_drift_alone() -> None:
    config = everything_on()
    for effect in SWITCHED:
        compensation = without_effects(config, {effect}).drift_compensation
        assert (compensation is None) == (effect is Effect.DRIFT)


def test_perfect_products_have_no_effects_of_the_forward_pass() -> None:
    config = everything_on()
    config.forward.is_perfect = True
    assert effects_of([config]) == (Effect.PROGRAMMING, Effect.DRIFT, Effect.READ_NOISE)


def test_a_group_is_on_where_some_layer_has_it() -> None:
    quiet = without_effects(everything_on(), {Effect.ARRAY})
    assert Effect.ARRAY in effects_of([quiet, everything_on()])
    assert Effect.ARRAY not in effects_of([quiet, quiet])

"""Groups of effects, each switched off as a whole: the table that an error budget stands on.

Every field of `forward`, of the noise models and of the drift compensations is in the table once: with the
group that it belongs to, or with no group and why. A field of strength has a value that is off; the others of
its group say how the effect is where it is on, and stay. What remains when all groups are off is the group
`MAPPING`: conversion to conductances, tiles, the conductance window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from simulator.config.enums import WeightNoiseType
from simulator.config.io import IOParameters
from simulator.config.no_effect import is_off, is_perfect
from simulator.config.noise_models import NoiseModelConfig
from simulator.config.rpu import InferenceRPUConfig


class Effect(StrEnum):
    """A group of effects, in the order of tables and pictures; `MAPPING` is never switched."""

    MAPPING = "mapping"
    PROGRAMMING = "programming"
    DRIFT = "drift"
    READ_NOISE = "read_noise"
    INPUT_CONVERTER = "input_converter"
    OUTPUT_CONVERTER = "output_converter"
    OUTPUT_NOISE = "output_noise"
    ARRAY = "array"


SWITCHED: Final = tuple(effect for effect in Effect if effect is not Effect.MAPPING)


@dataclass(frozen=True)
class Strength:
    """A field without whose value its group has no effect.

    Attributes:
        effect: its group.
        off: the value that switches it off.
        is_off: whether a value is off already.
    """

    effect: Effect
    off: Any
    is_off: Callable[[Any], bool]


@dataclass(frozen=True)
class Manner:
    """A field that says how its group acts where it does; it stays as it is.

    Attributes:
        effect: its group.
    """

    effect: Effect


@dataclass(frozen=True)
class Apart:
    """A field of no group.

    Attributes:
        reason: why it stays as configured.
    """

    reason: str


Place = Strength | Manner | Apart


def _zero(effect: Effect) -> Strength:
    return Strength(effect, 0.0, lambda value: bool(value == 0))


def _not_positive(effect: Effect) -> Strength:
    return Strength(effect, 0.0, lambda value: bool(value <= 0))


def _no_bound(effect: Effect) -> Strength:
    return Strength(effect, math.inf, is_off)


_NOISE_MANAGEMENT: Final = Apart("noise management stays as configured: it decides what all others act on")
_INPUTS, _OUTPUTS = Manner(Effect.INPUT_CONVERTER), Manner(Effect.OUTPUT_CONVERTER)
_NOISE, _ARRAY = Manner(Effect.OUTPUT_NOISE), Manner(Effect.ARRAY)

FORWARD: Final[Mapping[str, Place]] = {
    "is_perfect": Apart("perfect products have no effect of any group of the forward pass"),
    "mv_type": Apart("the number of passes stays as configured"),
    # An infinite bound switches off clipping and rounding.
    "inp_bound": _no_bound(Effect.INPUT_CONVERTER),
    "inp_noise": _zero(Effect.INPUT_CONVERTER),
    "inp_res": _INPUTS,
    "inp_sto_round": _INPUTS,
    "inp_asymmetry": _zero(Effect.ARRAY),
    # An infinite bound switches off clipping, rounding and bound management.
    "out_bound": _no_bound(Effect.OUTPUT_CONVERTER),
    "out_res": _OUTPUTS,
    "out_sto_round": _OUTPUTS,
    "bound_management": _OUTPUTS,
    "max_bm_factor": _OUTPUTS,
    "max_bm_res": _OUTPUTS,
    "bm_test_negative_bound": _OUTPUTS,
    "out_noise": _zero(Effect.OUTPUT_NOISE),
    "out_noise_std": _NOISE,
    "w_noise": _zero(Effect.OUTPUT_NOISE),
    "w_noise_type": _NOISE,
    "out_scale": Apart("a digital factor, exact"),
    "out_asymmetry": _not_positive(Effect.ARRAY),
    "ir_drop": _zero(Effect.ARRAY),
    "ir_drop_g_ratio": _ARRAY,
    "out_nonlinearity": _not_positive(Effect.ARRAY),
    "out_nonlinearity_std": _ARRAY,
    "slope_calibration": _ARRAY,
    "v_offset_std": _zero(Effect.ARRAY),
    "v_offset_w_min": _ARRAY,
    "r_series": _zero(Effect.ARRAY),
    "w_read_asymmetry_dtod": _zero(Effect.ARRAY),
    "noise_management": _NOISE_MANAGEMENT,
    "nm_thres": _NOISE_MANAGEMENT,
    "nm_assumed_wmax": _NOISE_MANAGEMENT,
    "nm_decay": _NOISE_MANAGEMENT,
}

_PROGRAMMING, _DRIFT = Manner(Effect.PROGRAMMING), Manner(Effect.DRIFT)
_READ, _MAPPING = Manner(Effect.READ_NOISE), Manner(Effect.MAPPING)
_TYPE: Final = Apart("names the model")

_EVERY_MODEL: Final[Mapping[str, Place]] = {
    "type": _TYPE,
    "device_state": Apart("says what of a device is kept in the simulation, which is no effect"),
    "states": Strength(Effect.PROGRAMMING, None, lambda value: value is None),
    "stuck_at_zero": _zero(Effect.PROGRAMMING),
    "stuck_at_max": _zero(Effect.PROGRAMMING),
    "g_max": _MAPPING,
}
_PAIRS: Final[Mapping[str, Place]] = {**_EVERY_MODEL, "g_converter": _MAPPING}
_SCALED: Final[Mapping[str, Place]] = {
    **_PAIRS,
    "prog_noise_scale": _zero(Effect.PROGRAMMING),
    "prog_coeff": _PROGRAMMING,
    "drift_scale": _zero(Effect.DRIFT),
    "t_0": _DRIFT,
    "read_noise_scale": _zero(Effect.READ_NOISE),
    "t_read": _READ,
}
_REFERENCED: Final[Mapping[str, Place]] = {**_SCALED, "prog_coeff_g_max_reference": _PROGRAMMING}
NOISE_MODELS: Final[Mapping[str, Mapping[str, Place]]] = {
    "PCMLikeNoiseModel": _REFERENCED,
    "CustomDriftPCMLikeNoiseModel": {**_REFERENCED, "custom_drift_model": _DRIFT},
    "HermesNoiseModel": {**_REFERENCED, "num_devices": _MAPPING},
    "StateIndependentNoiseModel": {**_SCALED, "drift_nu_mean": _DRIFT, "drift_nu_std": _DRIFT},
    # One draw is the deviation from the target at every time: its growth is not told from its beginning.
    "ReRamWan2022NoiseModel": {
        **_PAIRS,
        "noise_scale": _zero(Effect.PROGRAMMING),
        "coeff_dic": _PROGRAMMING,
        "coeff_g_max_reference": _PROGRAMMING,
    },
    "ReRamCMONoiseModel": {
        **_EVERY_MODEL,
        "g_min": _MAPPING,
        "prog_noise_scale": _zero(Effect.PROGRAMMING),
        "coeff_dict": _PROGRAMMING,
        "acceptance_range": _PROGRAMMING,
        "drift_scale": _zero(Effect.DRIFT),
        "decay_dict": _DRIFT,
        "read_noise_scale": _zero(Effect.READ_NOISE),
        "read_dict": _READ,
    },
    # A part that is left out is off, whatever its scale: the model's `why_idle` says so.
    "MeasuredNoiseModel": {
        **_PAIRS,
        "programming": _PROGRAMMING,
        "prog_noise_scale": _zero(Effect.PROGRAMMING),
        "drift": _DRIFT,
        "drift_scale": _zero(Effect.DRIFT),
        "read": _READ,
        "read_noise_scale": _zero(Effect.READ_NOISE),
    },
}
# Switched as a whole: off is none.
DRIFT_COMPENSATION: Final[Mapping[str, Place]] = {"type": _DRIFT}


def place_in_noise_model(model: NoiseModelConfig, field: str) -> Place:
    """Return where a noise model's field belongs; unknown fields of a user's model belong to `MAPPING`."""
    table = NOISE_MODELS.get(str(model.type), _REFERENCED)
    return table.get(field, _MAPPING)


def effects_of(configs: Iterable[InferenceRPUConfig]) -> tuple[Effect, ...]:
    """Return the groups that are on in some of the configurations, in the order of `Effect`.

    `MAPPING`, which is always there, is not among them.
    """
    on = {effect for config in configs for effect in _effects_of(config)}
    return tuple(effect for effect in SWITCHED if effect in on)


def without_effects(config: InferenceRPUConfig, off: Collection[Effect]) -> InferenceRPUConfig:
    """Return a frozen configuration with some groups of effects off, and all else as it was.

    A pure function: the given configuration stays as it is, and is returned itself where the groups are off
    in it already. What other groups refer to, such as the ADC's bound for the nonlinearity, is written
    anew so that it means the same. One thing goes with the DAC's step that is not the DAC's: with
    AbsMaxNPSum, the limit of the scale of inputs. The clipping of a static input range, which is no field, is
    switched on the tile (`simulator.nn.TileMode.clips_inputs`), since its scale has to stay.
    """
    switched = set(off) & set(_effects_of(config))
    if not switched:
        return config.frozen()
    changed = config.model_copy(deep=True)
    if not is_perfect(config):
        _switch_forward(changed.forward, config.forward, switched)
    _switch_noise_model(changed.noise_model, switched)
    if Effect.DRIFT in switched:
        changed.drift_compensation = None
    return changed.frozen()


def _effects_of(config: InferenceRPUConfig) -> set[Effect]:
    on: set[Effect] = set()
    if not is_perfect(config):
        for name, place in FORWARD.items():
            if isinstance(place, Strength) and not place.is_off(getattr(config.forward, name)):
                on |= {place.effect} if _acts(config.forward, name) else set()
        if config.pre_post.input_range.enable:
            on.add(Effect.INPUT_CONVERTER)
    model = config.noise_model
    for name in type(model).model_fields:
        place = place_in_noise_model(model, name)
        if isinstance(place, Strength) and not place.is_off(getattr(model, name)):
            on |= set() if model.why_idle(name) else {place.effect}
    if config.drift_compensation is not None:
        on.add(Effect.DRIFT)
    return on


def _acts(forward: IOParameters, name: str) -> bool:
    """Return whether a strength that is on has an effect as the others are."""
    if name == "w_noise":
        return forward.w_noise_type is not WeightNoiseType.NONE
    if name == "w_read_asymmetry_dtod":
        return forward.mv_type.value.startswith("PosNegSeparate")
    return True


def _switch_forward(changed: IOParameters, given: IOParameters, off: set[Effect]) -> None:
    for name, place in FORWARD.items():
        if isinstance(place, Strength) and place.effect in off and not place.is_off(getattr(given, name)):
            setattr(changed, name, place.off)
    if Effect.INPUT_CONVERTER in off and not is_off(given.inp_bound) and given.inp_res > 0:
        # The DAC's step limits how far bound management scales down, and that is not the DAC's effect.
        limit = given.max_bm_res / (step_of(given.inp_res) * 2 * given.inp_bound)
        changed.max_bm_factor = max(1, min(given.max_bm_factor, math.floor(limit)))
    if Effect.OUTPUT_CONVERTER in off and not is_off(given.out_bound):
        bound = given.out_bound  # in whose place there is 1 where there is none
        changed.nm_assumed_wmax = given.nm_assumed_wmax / bound
        changed.slope_calibration = given.slope_calibration * bound
        if given.out_nonlinearity > 0 and Effect.ARRAY not in off:
            changed.out_nonlinearity = given.out_nonlinearity / bound


def step_of(resolution: float) -> float:
    """Return the step of a resolution that is on, relative to the full range."""
    return 1 / resolution if resolution > 1 else resolution


def _switch_noise_model(model: NoiseModelConfig, off: set[Effect]) -> None:
    for name in type(model).model_fields:
        place = place_in_noise_model(model, name)
        if isinstance(place, Strength) and place.effect in off and not place.is_off(getattr(model, name)):
            setattr(model, name, place.off)

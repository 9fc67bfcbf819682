"""Values that are valid and hardly meant: what the number says, in words, and what was probably meant.

One table has a rule for each field, and each rule its limits with their reason. A limit lies well beyond what
chips and papers have, so that a warning is about a slip: a number of bits given as steps, a conductance in S,
a percentage given as a share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from simulator.config.enums import WeightModifierType
from simulator.config.rpu import InferenceRPUConfig

Rule = Callable[[float], str | None]

FEWEST_STEPS = 14  # of a converter with 4 bits; fewer are a number of bits more often than of steps
MOST_STEPS = 2**16 - 2  # more than 16 bits: no converter of a crossbar has them


@dataclass(frozen=True)
class Between:
    """A rule: values outside of the limits get a message.

    Attributes:
        low: the smallest plausible value.
        high: the largest one.
        meaning: what the number is, in the field's units, and what is usual.
    """

    low: float
    high: float
    meaning: str

    def __call__(self, value: float) -> str | None:
        """Return what a value means where it is outside of the limits."""
        return None if self.low <= value <= self.high else self.meaning


@dataclass(frozen=True)
class BoundBetween(Between):
    """The same for a bound, which a value of 0 or less switches off."""

    def __call__(self, value: float) -> str | None:
        """Return what a value means where it is outside of the limits."""
        return None if value <= 0 else super().__call__(value)


def resolution(value: float) -> str | None:
    """Say how many steps an implausible resolution has; see `IOParameters`."""
    if value <= 0:
        is_usual = value in (0.0, -1.0)
        return None if is_usual else "a negative resolution switches rounding off; write -1 if that is meant"
    steps = value if value > 1 else 1 / value
    if value == 1:
        return (
            "1 is one step over the whole range, so that everything is rounded to 0; -1 switches rounding off"
        )
    if steps < FEWEST_STEPS:
        return f"that is {steps:.3g} steps, about {math.log2(steps + 2):.0f} bits{_in_bits(value)}"
    if steps > MOST_STEPS:
        return (
            f"that is {steps:.6g} steps, about {math.log2(steps + 2):.0f} bits, next to no rounding; "
            "b bits are 2^b - 2 steps (254 for 8 bits), and -1 switches rounding off"
        )
    return None


def _in_bits(value: float) -> str:
    if value > 2 and value == int(value):
        return f"; for {value:g} bits write {2 ** int(value) - 2}"
    return "; b bits are 2^b - 2 steps, 254 for 8 bits"


_OF_FULL_INPUT = "it is in units of the DAC's full range, 1; usual values are 0 to 0.05"
_OF_ONE_DEVICE = "it is in units of what one device of |w| = 1 gives at input 1; usual values are 0.01 to 0.1"
_SIGN_CHANGES = "negative values are multiplied by one minus it; usual values are -0.1 to 0.1"
_IN_US = "conductances are in uS: 25 uS are written 25, not 25e-6"
_OF_PUBLISHED = "it multiplies what was measured; 1 is the published device, usual values are 0 to 3"

# Field -> its rule. Limits are some ten times what is usual, unless their comment says otherwise.
RULES: dict[str, Rule] = {
    "forward.inp_res": resolution,
    "forward.out_res": resolution,
    "modifier.res": resolution,
    "forward.inp_noise": Between(0, 0.5, _OF_FULL_INPUT),
    "forward.out_noise": Between(0, 1, _OF_ONE_DEVICE),
    "forward.w_noise": Between(0, 0.5, "it is relative to |w| = 1; usual values are 0.01 to 0.05"),
    "forward.ir_drop": Between(0, 20, "1 is the drop that ir_drop_g_ratio makes; usual values are 0 to 5"),
    "forward.ir_drop_g_ratio": Between(
        1e3, math.inf, "it is the conductance of the wire between two cells over g_max; usual is 570,000"
    ),
    "forward.inp_asymmetry": Between(-0.5, 0.5, _SIGN_CHANGES),  # 1 leaves nothing, more changes the sign
    "forward.out_asymmetry": Between(-0.5, 0.5, _SIGN_CHANGES),
    "forward.out_noise_std": Between(0, 2, "it is relative to out_noise; usual values are 0 to 0.3"),
    "forward.out_nonlinearity": Between(
        -math.inf, 5, "at out_bound the output is divided by one plus it; usual values are 0 to 0.5"
    ),
    "forward.out_nonlinearity_std": Between(0, 2, "it is relative to out_nonlinearity; usual are 0 to 0.3"),
    "forward.v_offset_std": Between(0, 0.5, "it is relative to the read voltage; usual values are 0 to 0.05"),
    "forward.r_series": Between(
        0, 1, "an output y becomes y / (1 + r_series |y|); usual values are 0 to 0.05"
    ),
    "forward.w_read_asymmetry_dtod": Between(0, 1, "it is relative to each weight; usual are 0 to 0.2"),
    "forward.inp_bound": BoundBetween(
        0.05, 100, "inputs are 1 at most where noise management or an input range scales them"
    ),
    "forward.out_bound": BoundBetween(
        0.1, 1000, "a device of |w| = 1 gives 1 at input 1, a column some 5; usual values are 4 to 20"
    ),
    "forward.nm_thres": BoundBetween(
        1e-3,
        math.inf,
        "noise management scales larger inputs by it, so that they are clipped; 0 sets no limit",
    ),
    "forward.out_scale": Between(1e-6, 1e6, "all outputs are multiplied by it; 1 leaves them"),
    "mapping.weight_scaling_omega": BoundBetween(
        0.01,
        1,
        "the largest |w| on a tile becomes omega, and |w| = 1 is g_max already; 1 uses the whole range",
    ),
    "modifier.std_dev": Between(0, 1, "it is relative to the tile's largest weight; usual are 0.01 to 0.2"),
    "modifier.pdrop": Between(
        0, 0.9, "it is the share of weights that are set to zero in each training step"
    ),
    "modifier.g_max": Between(0.01, 1e4, _IN_US),
    "noise_model.g_max": Between(0.01, 1e4, _IN_US),
    "noise_model.prog_noise_scale": Between(0, 20, _OF_PUBLISHED),
    "noise_model.read_noise_scale": Between(0, 20, _OF_PUBLISHED),
    "noise_model.drift_scale": Between(0, 20, _OF_PUBLISHED),
    "noise_model.noise_scale": Between(0, 20, _OF_PUBLISHED),
    "noise_model.t_read": Between(0, 1, "the duration of one read is in s; usual are 1e-9 to 1e-5"),
    "noise_model.drift_nu_mean": Between(-1, 1, "conductances fall as t to the power of -nu; usual is 0.05"),
}


def _values(config: InferenceRPUConfig) -> Iterator[tuple[str, Any]]:
    for dotted in RULES:
        value: Any = config
        for name in dotted.split("."):
            value = getattr(value, name, None)
        if isinstance(value, int | float) and math.isfinite(value):  # an infinite bound is none
            yield dotted, value


def implausible_values(config: InferenceRPUConfig) -> Iterator[tuple[str, str]]:
    """Yield the dotted name of each implausible value, and what it says."""
    for dotted, value in _values(config):
        if dotted == "modifier.res" and config.modifier.type is WeightModifierType.DOREFA:
            continue  # a step of its own, not of the full range
        meaning = RULES[dotted](value)
        if meaning is not None:
            yield dotted, f"{dotted} is {value:g}: {meaning}"

"""Energies, times and areas in the units that people use, with their bands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

_PREFIXES: Final = (
    (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"),
    (1e-12, "p"), (1e-15, "f"), (1e-18, "a"),
)  # fmt: skip
_UNPREFIXED: Final = frozenset({"mm²", "TOPS", "TOPS/W"})  # a prefix before these would only confuse


def scale_of(value: float, unit: str) -> tuple[float, str]:
    """Return the factor and the prefixed unit in which a value has one to three digits before the point.

    Args:
        value: in the unit without a prefix.
        unit: such as `J` or `s`.
    """
    if unit in _UNPREFIXED or value == 0 or not math.isfinite(value):
        return 1.0, unit
    # What three digits would round up to a thousand belongs to the next prefix.
    size = next((one for one in _PREFIXES if abs(value) >= 0.9995 * one[0]), _PREFIXES[-1])
    return 1 / size[0], f"{size[1]}{unit}"


def number(value: float) -> str:
    """Return a number with three digits, never with an exponent that two more digits would spare."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if 100 <= abs(rounded) < 1e6 else f"{rounded:.3g}"


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit: `148 µJ`."""
    factor, prefixed = scale_of(value, unit)
    return f"{number(value * factor)} {prefixed}"


def band(estimate: Mapping[str, float], unit: str) -> str:
    """Return an estimate with its band, all in one unit: `148 µJ (99 to 222)`."""
    factor, prefixed = scale_of(estimate["nominal"], unit)
    low, nominal, high = (number(estimate[end] * factor) for end in ("low", "nominal", "high"))
    return f"{nominal} {prefixed} ({low} to {high})"


def overlap(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Tell whether two bands overlap: then neither estimate may be called the smaller."""
    return one["low"] <= other["high"] and other["low"] <= one["high"]

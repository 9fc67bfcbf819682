"""Durations as people write them, such as "90 min" and "1 month", in seconds; parsed here alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from numbers import Real
from typing import TypeAlias

from driftline.errors import InvalidInput

Duration: TypeAlias = float | str | timedelta

_MINUTE = 60.0
_HOUR = 3600.0
_DAY = 86400.0
_WORDS = ("day", "week", "month", "year")
SECONDS = {
    "s": 1.0,
    "min": _MINUTE,
    "h": _HOUR,
    "day": _DAY,
    "week": 7 * _DAY,
    "month": 30 * _DAY,
    "year": 365 * _DAY,
}
_NAMES = {
    **SECONDS,
    "ms": 1e-3,
    "sec": 1.0,
    "second": 1.0,
    "m": _MINUTE,
    "minute": _MINUTE,
    "hr": _HOUR,
    "hour": _HOUR,
    "d": _DAY,
    "w": SECONDS["week"],
    "mo": SECONDS["month"],
    "y": SECONDS["year"],
    "yr": SECONDS["year"],
}
_WRITTEN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)?\s*([a-z]*)", re.IGNORECASE)
_EXAMPLES = (
    'write seconds as a number, or a number with a unit: "1 s", "90 min", "1 day", "1 month", "10 years"'
)


def seconds(duration: Duration) -> float:
    """Return a duration in seconds.

    A month has 30 days and a year 365, as in the service's own words.

    Args:
        duration: a number of seconds, a `timedelta`, or a number and a unit, such as "1 h" or "10 years"; a
            unit alone means one of it.

    Raises:
        InvalidInput: it is not a duration, or negative, or not finite.
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, Real) and not isinstance(duration, bool):
        value = float(duration)
    elif isinstance(duration, str):
        value = _parsed(duration)
    else:
        raise InvalidInput(f"{duration!r} is not a duration: {_EXAMPLES}")
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{duration!r} is not a time after programming: it has to be finite and 0 or more")
    return value


def all_seconds(durations: Iterable[Duration] | Duration) -> list[float]:
    """Return durations in seconds.

    Raises:
        InvalidInput: some are not durations; the message names all of them.
    """
    if isinstance(durations, str | int | float | timedelta):
        return [seconds(durations)]
    found, faults = [], []
    for one in durations:
        try:
            found.append(seconds(one))
        except InvalidInput as error:
            faults.append(str(error))
    if faults:
        raise InvalidInput("\n".join(faults))
    return found


def label(value_s: float) -> str:
    """Return a duration in the largest unit that it is a whole number of: 86400 is "1 day"."""
    if value_s == 0:
        return "0 s"
    for unit in reversed(SECONDS):
        count = value_s / SECONDS[unit]
        if count >= 1 and math.isclose(count, round(count), rel_tol=1e-9):
            plural = "s" if unit in _WORDS and round(count) != 1 else ""
            return f"{round(count):,} {unit}{plural}"
    return f"{value_s:g} s"


def _parsed(text: str) -> float:
    written = _WRITTEN.fullmatch(text.strip())
    if written is None or not text.strip():
        raise InvalidInput(f"{text!r} is not a duration: {_EXAMPLES}")
    number, unit = written[1], written[2]
    if unit == "M":
        raise InvalidInput(f"{text!r} may mean minutes or months: write min or month")
    factor = _factor(unit.lower()) if unit else 1.0
    if factor is None:
        known: Sequence[str] = tuple(SECONDS)
        raise InvalidInput(f"{text!r} has the unknown unit {unit!r}: the units are {', '.join(known)}")
    return (1.0 if number is None else float(number)) * factor


def _factor(unit: str) -> float | None:
    found = _NAMES.get(unit)
    return _NAMES.get(unit.removesuffix("s")) if found is None else found

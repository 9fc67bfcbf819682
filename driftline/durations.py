"""Durations as people write them, such as "90 min" and "1 month", in seconds; parsed here alone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import timedelta
from numbers import Real
from typing import TypeAlias

from driftline.errors import InvalidInput
from driftline.times import DAY_S, HOUR_S, MINUTE_S, MONTH_S, SECOND_S, WEEK_S, YEAR_S

Duration: TypeAlias = float | str | timedelta

UNITS = {
    "s": SECOND_S,
    "min": MINUTE_S,
    "h": HOUR_S,
    "day": DAY_S,
    "week": WEEK_S,
    "month": MONTH_S,
    "year": YEAR_S,
}
_NAMES = {
    **UNITS,
    "ms": 1e-3,
    "sec": SECOND_S,
    "second": SECOND_S,
    "m": MINUTE_S,
    "minute": MINUTE_S,
    "hr": HOUR_S,
    "hour": HOUR_S,
    "d": DAY_S,
    "w": WEEK_S,
    "mo": MONTH_S,
    "y": YEAR_S,
    "yr": YEAR_S,
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


def _parsed(text: str) -> float:
    written = _WRITTEN.fullmatch(text.strip())
    if written is None or not text.strip():
        raise InvalidInput(f"{text!r} is not a duration: {_EXAMPLES}")
    number, unit = written[1], written[2]
    if unit == "M":
        raise InvalidInput(f"{text!r} may mean minutes or months: write min or month")
    factor = _factor(unit.lower()) if unit else 1.0
    if factor is None:
        raise InvalidInput(f"{text!r} has the unknown unit {unit!r}: the units are {', '.join(UNITS)}")
    return (1.0 if number is None else float(number)) * factor


def _factor(unit: str) -> float | None:
    found = _NAMES.get(unit)
    return _NAMES.get(unit.removesuffix("s")) if found is None else found

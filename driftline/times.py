"""Times after programming, in the units that people use."""

from __future__ import annotations

import math
from typing import Final

SECOND_S: Final = 1.0
MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0
WEEK_S: Final = 7 * DAY_S
MONTH_S: Final = 30 * DAY_S
YEAR_S: Final = 365 * DAY_S

# What an axis of times is marked with.
TICKS: Final = (
    (SECOND_S, "1 s"),
    (MINUTE_S, "1 min"),
    (HOUR_S, "1 h"),
    (DAY_S, "1 day"),
    (WEEK_S, "1 week"),
    (MONTH_S, "1 month"),
    (YEAR_S, "1 year"),
    (10 * YEAR_S, "10 years"),
)
_UNITS: Final = (
    (YEAR_S, "year"),
    (MONTH_S, "month"),
    (DAY_S, "day"),
    (HOUR_S, "hour"),
    (MINUTE_S, "minute"),
    (SECOND_S, "second"),
)
_SHORT: Final = {"hour": "h", "minute": "min", "second": "s"}


def in_words(time_s: float) -> str:
    """Return a time as prose has it, to two digits: `1.2 days`, `1 year`, `36 hours`.

    Args:
        time_s: seconds, not negative.
    """
    number, unit = _rounded(time_s)
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def in_short(time_s: float) -> str:
    """Return a time as labels have it, to two digits: `1 s`, `90 min`, `1.2 days`."""
    number, unit = _rounded(time_s)
    if unit in _SHORT:
        return f"{number} {_SHORT[unit]}"
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def in_table(time_s: float) -> str:
    """Return a time as tables have it: as labels do where two digits are enough, else in seconds."""
    number, unit = _rounded(time_s)
    size = next(size for size, name in _UNITS if name == unit)
    is_exact = math.isclose(float(number.replace(",", "")) * size, time_s, rel_tol=1e-9)
    return in_short(time_s) if is_exact else f"{time_s:,.10g} s"


def _rounded(time_s: float) -> tuple[str, str]:
    """Return a time in the largest unit of which it holds one, after rounding."""
    for size, unit in _UNITS:
        number = float(f"{time_s / size:.2g}")
        if number >= 1:
            return f"{number:,.0f}" if number >= 10 else f"{number:g}", unit
    return ("0" if time_s == 0 else f"{time_s:.2g}"), "second"

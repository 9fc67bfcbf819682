"""Means over chips with their intervals, and where they rest on little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from app.analyses.schemas import EstimateView
from app.results.statistics import student_t95

FEW_CHIPS: Final = 5


def estimate(values: Sequence[float] | None) -> EstimateView | None:
    """Return the mean of a value for each chip; of None one that is null, and of no chip None."""
    if values is None:
        return EstimateView(mean=None, ci95=None, repeats=0)
    count = len(values)
    if count == 0:
        return None
    mean = math.fsum(values) / count
    if count == 1:
        return EstimateView(mean=mean, ci95=None, repeats=1)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = student_t95(count - 1) * spread / math.sqrt(count)
    return EstimateView(mean=mean, ci95=(mean - half, mean + half), repeats=count)


def column(rows: Sequence[Sequence[float]] | None, number: int) -> list[float] | None:
    """Return one column of a table of chips; None where there is no table."""
    return None if rows is None else [row[number] for row in rows]


def difference(rows: Sequence[Sequence[float]] | None) -> EstimateView | None:
    """Return the mean of the first column less the second, chip by chip."""
    return estimate(None if rows is None else [row[0] - row[1] for row in rows])

"""Whether the chips so far say enough: an interval that stays valid although each wave is looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from simulator.config.evaluation import RepeatsUntil

Place = tuple[str, float]  # variant, time after programming in s
ERROR: Final = 0.05  # of all looks together


def error_of_a_look(chips: int, until: RepeatsUntil) -> float | None:
    """Return how often an interval may miss that is looked at after each wave (Bonferroni's inequality).

    Args:
        chips: that it is over.
        until: what decides how many there are.

    Returns:
        None within a wave, at which nothing is looked at.
    """
    return ERROR / len(until.waves) if chips in until.waves else None


@lru_cache(maxsize=1024)
def factor(chips: int, waves: int) -> float:
    """Return the factor of Student's two-sided interval of a mean at level 0.05 / `waves`.

    Looked at after every one of `waves` waves whose sizes were fixed before the first, the interval misses
    the mean at any of them with a probability of 0.05 at most (Bonferroni's inequality), so it holds at the
    wave at which a job stops, whatever made it stop. Bonferroni's intervals of Student's t: Dunn, "Multiple
    comparisons among means", J. Am. Stat. Assoc. 56 (1961) 52; looked at again and again: Jennison and
    Turnbull, "Interim analyses: the repeated confidence interval approach", J. R. Stat. Soc. B 51 (1989) 305.

    Args:
        chips: that the mean is over, at least 2.
        waves: how often it is looked at.
    """
    from scipy.special import stdtrit  # here, so that the API starts without it

    return float(stdtrit(chips - 1, 1 - ERROR / (2 * waves)))


def half_width(std: float, chips: int, until: RepeatsUntil) -> float | None:
    """Return the half width of `ci95_adaptive`.

    Args:
        std: sample standard deviation over chips.
        chips: that the mean is over.
        until: what decides how many there are.

    Returns:
        None within a wave, at which the interval is not looked at.
    """
    if chips not in until.waves:
        return None
    return factor(chips, len(until.waves)) * std / math.sqrt(chips)


def widest(until: RepeatsUntil, metrics: Mapping[Place, Sequence[float | None]]) -> float | None:
    """Return the largest half width where the job is judged.

    Args:
        until: what decides how many chips there are.
        metrics: of the chips of all waves so far, in their order, by variant and time.

    Returns:
        None where a chip's metric is not finite.
    """
    import numpy as np

    named = None if until.on is None else (until.on.variant.value, until.on.t_inference)
    widths: list[float] = []
    for place, values in metrics.items():
        if named is not None and place != named:
            continue
        if any(value is None or not math.isfinite(value) for value in values):
            return None
        std = float(np.std(np.array(values, dtype=float), ddof=1))
        widths.append(half_width(std, len(values), until) or 0.0)
    return max(widths) if widths and all(map(math.isfinite, widths)) else None


def next_wave(until: RepeatsUntil, metrics: Mapping[Place, Sequence[float | None]], chips: int) -> range:
    """Return the chips that follow; none where the job has enough.

    No further chip makes an interval of a metric that is not finite for one of them, so the job ends there.

    Args:
        until: what decides how many chips there are.
        metrics: of all chips so far, in their order, by variant and time.
        chips: how many these are.
    """
    more = [total for total in until.waves if total > chips]
    width = widest(until, metrics)
    if not more or width is None or width <= until.until_ci95:
        return range(0)
    return range(chips, more[0])

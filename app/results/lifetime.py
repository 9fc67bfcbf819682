"""How long chips hold: when each falls below a threshold, and which share of them has not.

Computed when read, from cells; the page, the headline, the report and the client all take their numbers from
here. Nothing is drawn at random: intervals come from order statistics and from Wilson's score.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from app.engine.kinds.inference.waves import ERROR, error_of_a_look
from app.results.statistics import VARIANT_ORDER, metrics_of, wilson, wilson95
from simulator.config.tasks import TASKS, Task

if TYPE_CHECKING:
    from app.results.cells import Cells, Group, Reals
    from simulator.config.evaluation import RepeatsUntil

FEWEST_CHIPS_FOR_95_PERCENT: Final = 20
_BETWEEN = 8  # steps of the yield's curve from one evaluated time to the next


class Censored(StrEnum):
    """What is known of a time that lies outside the evaluated ones.

    NONE: it lies within. ABOVE: the chip still holds at the last time. BELOW: it does not at the first.
    """

    NONE = "none"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True)
class Crossing:
    """When a chip first becomes worse than the threshold.

    Attributes:
        repeat: number of the chip.
        time_s: seconds after programming; None where it is censored.
        censored: whether, and on which side, the evaluated times leave it open.
    """

    repeat: int
    time_s: float | None
    censored: Censored

    @property
    def sortable_s(self) -> float:
        """The time, with what is censored at the ends."""
        if self.time_s is not None:
            return self.time_s
        return math.inf if self.censored is Censored.ABOVE else -math.inf


@dataclass(frozen=True)
class Median:
    """The median over chips of the time to the threshold.

    Attributes:
        median: in s; None where it is censored.
        ci95: by order statistics of the binomial distribution, an end that is censored is None; None as a
            whole with fewer than six chips, from which no two bound the median with 95 %.
        ci95_adaptive: the same at level 0.05 / number of waves, which stays valid although each wave is
            looked at; None where the number of chips is fixed, within a wave, and of few chips.
        censored: whether, and on which side, the evaluated times leave the median open.
    """

    median: float | None
    ci95: tuple[float | None, float | None] | None
    ci95_adaptive: tuple[float | None, float | None] | None
    censored: Censored


@dataclass(frozen=True)
class YieldPoint:
    """The share of chips that have not become worse than the threshold.

    Attributes:
        t_inference: seconds after programming.
        share: of the chips, 0 to 1.
        ci95: Wilson's interval for the finite number of chips.
        ci95_adaptive: the same at level 0.05 / number of waves; None where the number of chips is fixed, and
            within a wave.
    """

    t_inference: float
    share: float
    ci95: tuple[float, float]
    ci95_adaptive: tuple[float, float] | None


@dataclass(frozen=True)
class Life:
    """How long the chips of a variant hold.

    Attributes:
        variant: its name.
        times_s: evaluated times, rising.
        time_to_threshold_s: the median over chips.
        chips: the crossing of each chip that was evaluated at all of these times, in their order.
        yield_: the share that holds, at the evaluated times and between them.
        holds_95_percent_until_s: until when 95 % of chips hold; the last evaluated time if they still do.
        reason: why that is None, or more than it says.
    """

    variant: str
    times_s: tuple[float, ...]
    time_to_threshold_s: Median
    chips: tuple[Crossing, ...]
    yield_: tuple[YieldPoint, ...]
    holds_95_percent_until_s: float | None
    reason: str | None

    def holding(self, time_s: float) -> int:
        """Return how many chips hold at a time within the evaluated ones; who has fallen has so for good."""
        return sum(time_s <= one.sortable_s for one in self.chips)


def lives(task: Task, cells: Cells, threshold: float, until: RepeatsUntil | None = None) -> list[Life]:
    """Return how long the chips of each analog variant hold, in the order of variants.

    Chips that were not evaluated at all times yet are left out, so that the chips of a running job are
    compared at equal times.

    Args:
        task: what the metric is of.
        cells: the job's.
        threshold: of the metric, in its unit; a chip holds while it is at least (at most) as good.
        until: what decides how many chips there are; None where their number is fixed.
    """
    metrics = metrics_of(task, cells)
    goodness = metrics if TASKS[task].metric.higher_is_better else -metrics
    bound = threshold if TASKS[task].metric.higher_is_better else -threshold
    groups: dict[str, list[Group]] = {}
    for group in cells.groups:
        groups.setdefault(group.variant, []).append(group)
    return [
        _life(variant, groups[variant], cells.columns["repeat"], goodness, bound=bound, until=until)
        for variant in sorted(groups, key=VARIANT_ORDER.index)
    ]


def _life(
    variant: str,
    groups: Sequence[Group],
    repeats: Reals,
    goodness: Reals,
    *,
    bound: float,
    until: RepeatsUntil | None,
) -> Life:
    import numpy as np

    common = set(repeats[groups[0].rows].tolist()).intersection(
        *(repeats[group.rows].tolist() for group in groups[1:])
    )
    chips = np.array(sorted(common))
    times_s = tuple(group.t_inference for group in groups)
    curves = np.stack(
        [goodness[group.rows][np.isin(repeats[group.rows], chips)] for group in groups], axis=1
    )  # `[chips, times]`: within a group, cells are in the order of the repeats
    crossings = tuple(
        crossing(int(chip), times_s, curve, bound)
        for chip, curve in zip(chips.tolist(), curves.tolist(), strict=True)
    )
    until_s, reason = _holds_until(crossings, times_s[-1])
    error = None if until is None else error_of_a_look(len(crossings), until)
    chip_yield = tuple(_yield(crossings, times_s, error))
    return Life(variant, times_s, median_of(crossings, error), crossings, chip_yield, until_s, reason)


def crossing(repeat: int, times_s: Sequence[float], goodness: Sequence[float], bound: float) -> Crossing:
    """Return when a chip's goodness first falls below a bound.

    Between two evaluated times the goodness is taken as linear in ln t, as drift is; a segment from t = 0 as
    linear in t.

    Args:
        repeat: number of the chip.
        times_s: evaluated times, rising.
        goodness: of the chip at these times, larger is better; may be minus infinity.
        bound: the chip holds while its goodness is not below it.
    """
    for after, value in enumerate(goodness):
        if value >= bound:
            continue
        if after == 0:
            return Crossing(repeat, None, Censored.BELOW)
        before = after - 1
        share = (goodness[before] - bound) / (goodness[before] - value)  # 0 where the value is infinite
        start_s, end_s = times_s[before], times_s[after]
        time_s = start_s * (end_s / start_s) ** share if start_s > 0 else share * end_s
        # Rounding leaves it where the chip was seen to hold, and before it was seen not to.
        return Crossing(repeat, min(max(time_s, start_s), math.nextafter(end_s, start_s)), Censored.NONE)
    return Crossing(repeat, None, Censored.ABOVE)


def median_of(crossings: Sequence[Crossing], error: float | None = None) -> Median:
    """Return the median of the times with its intervals; what is censored sorts to its end.

    Args:
        crossings: of the chips.
        error: that a look at a wave of chips may make; None where there are no waves.
    """
    times = sorted(one.sortable_s for one in crossings)
    if not times:
        return Median(None, None, None, Censored.NONE)
    ends = _interval(times, ERROR), None if error is None else _interval(times, error)
    low, high = times[(len(times) - 1) // 2], times[len(times) // 2]
    middle = low if low == high else (low + high) / 2
    if math.isnan(middle):  # half of the chips fell before the first time, and half hold to the last
        return Median(None, *ends, Censored.BELOW)
    censored = Censored.NONE
    if math.isinf(middle):
        censored = Censored.ABOVE if middle > 0 else Censored.BELOW
    return Median(_known(middle), *ends, censored)


def _interval(times: Sequence[float], error: float) -> tuple[float | None, float | None] | None:
    rank = _rank(len(times), error)
    return None if rank is None else (_known(times[rank]), _known(times[-1 - rank]))


def _known(time_s: float) -> float | None:
    return time_s if math.isfinite(time_s) else None


@lru_cache(maxsize=1024)
def _rank(count: int, error: float) -> int | None:
    """Return the largest `r` so that values of rank `r` from both ends miss the median with `error` at most.

    The number of values below the median follows Binomial(count, 1/2); ranks count from 0.
    """
    from scipy.special import bdtr

    rank = -1
    while bdtr(rank + 1, count, 0.5) <= error / 2:
        rank += 1
    return rank if rank >= 0 else None


def _yield(
    crossings: Sequence[Crossing], times_s: Sequence[float], error: float | None
) -> Iterator[YieldPoint]:
    from scipy.special import ndtri

    fallen_s = sorted(one.sortable_s for one in crossings)
    count = len(fallen_s)
    if not count:
        return
    z = None if error is None else float(ndtri(1 - error / 2))
    for time_s in _grid(times_s):
        holding = count - bisect_left(fallen_s, time_s)
        adaptive = None if z is None else wilson(holding, count, z)
        yield YieldPoint(time_s, holding / count, wilson95(holding, count), adaptive)


def _grid(times_s: Sequence[float]) -> Iterator[float]:
    """Yield the evaluated times and some between them, evenly in ln t, after t = 0 evenly in t."""
    yield times_s[0]
    for start_s, end_s in pairwise(times_s):
        for step in range(1, _BETWEEN):
            part = step / _BETWEEN
            yield start_s * (end_s / start_s) ** part if start_s > 0 else part * end_s
        yield end_s


def _holds_until(crossings: Sequence[Crossing], last_s: float) -> tuple[float | None, str | None]:
    count = len(crossings)
    if count < FEWEST_CHIPS_FOR_95_PERCENT:
        few = "one chip is" if count == 1 else f"{count} chips are"
        return None, f"{few} too few to speak of 95 %: evaluate at least {FEWEST_CHIPS_FOR_95_PERCENT}"
    allowed = count // 20  # chips that may have fallen while 95 % hold
    until_s = sorted(one.sortable_s for one in crossings)[allowed]
    if until_s == -math.inf:
        return None, "fewer than 95 % of the chips hold at the first evaluated time"
    if until_s == math.inf:
        return last_s, "95 % of the chips still hold at the last evaluated time"
    return until_s, None

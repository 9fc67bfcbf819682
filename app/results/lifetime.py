"""How long chips hold: when each falls below a threshold, and which share of them has not.

Computed when read, from cells; the page, the headline, the report and the client all take their numbers from
here. Two meanings stand side by side. A chip **holds** until it first falls, and has fallen for good: so are
the times to the threshold and the yield. A chip in service is **available** at a time if it is good then,
whatever it was before (`app.results.availability`). Nothing is drawn at random: intervals come from order
statistics and from Wilson's score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from app.engine.kinds.inference.waves import ERROR, error_of_a_look
from app.results.availability import InService, in_service
from app.results.downtimes import Downtime, Fleet, Share, downtimes, for_good
from app.results.statistics import VARIANT_ORDER, metrics_of
from simulator.config.tasks import TASKS, Task

if TYPE_CHECKING:
    from app.results.cells import Cells, Group, Reals
    from simulator.config.evaluation import RepeatsUntil
    from simulator.config.maintenance import Schedule


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
class Life:
    """How long the chips of a variant hold.

    Attributes:
        variant: its name.
        times_s: evaluated times, rising.
        time_to_threshold_s: the median over chips.
        chips: the crossing of each chip that was evaluated at all of these times, in their order.
        yield_: the share that has not fallen yet, at the evaluated times and between them.
        holds_95_percent_until_s: until when 95 % of chips hold; the last evaluated time if they still do.
        reason: why that is None, or more than it says.
        in_service: how chips are at a time, whatever they were before; None without services.
    """

    variant: str
    times_s: tuple[float, ...]
    time_to_threshold_s: Median
    chips: tuple[Crossing, ...]
    yield_: tuple[Share, ...]
    holds_95_percent_until_s: float | None
    reason: str | None
    in_service: InService | None

    def holding(self, time_s: float) -> int:
        """Return how many chips hold at a time within the evaluated ones; who has fallen has so for good."""
        return sum(time_s <= one.sortable_s for one in self.chips)


def lives(
    task: Task,
    cells: Cells,
    threshold: float,
    until: RepeatsUntil | None = None,
    schedule: Schedule | None = None,
) -> list[Life]:
    """Return how long the chips of each analog variant hold, in the order of variants.

    Chips that were not evaluated at all times yet are left out, so that the chips of a running job are
    compared at equal times.

    Args:
        task: what the metric is of.
        cells: the job's.
        threshold: of the metric, in its unit; a chip holds while it is at least (at most) as good.
        until: what decides how many chips there are; None where their number is fixed.
        schedule: what was done to chips in service; empty or None where nothing was.
    """
    metrics = metrics_of(task, cells)
    goodness = metrics if TASKS[task].metric.higher_is_better else -metrics
    bound = threshold if TASKS[task].metric.higher_is_better else -threshold
    groups: dict[str, list[Group]] = {}
    for group in cells.groups:
        groups.setdefault(group.variant, []).append(group)
    repeats = cells.columns["repeat"]
    return [
        _life(variant, groups[variant], repeats, goodness, bound=bound, until=until, schedule=schedule or ())
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
    schedule: Schedule,
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
    spans = [downtimes(times_s, curve, bound) for curve in curves.tolist()]
    crossings = tuple(_crossing(int(chip), one) for chip, one in zip(chips.tolist(), spans, strict=True))
    error = None if until is None else error_of_a_look(len(crossings), until)
    z = None if error is None else _quantile(error)
    holding = Fleet(times_s, [for_good(one) for one in spans])
    holds = holding.until_95_percent()
    return Life(
        variant=variant,
        times_s=times_s,
        time_to_threshold_s=median_of(crossings, error),
        chips=crossings,
        yield_=tuple(holding.shares(z)),
        holds_95_percent_until_s=holds.time_s,
        reason=holds.reason,
        in_service=in_service(Fleet(times_s, spans), schedule, z) if schedule else None,
    )


def crossing(repeat: int, times_s: Sequence[float], goodness: Sequence[float], bound: float) -> Crossing:
    """Return when a chip's goodness first falls below a bound.

    Args:
        repeat: number of the chip.
        times_s: evaluated times, rising.
        goodness: of the chip at these times, larger is better; may be minus infinity.
        bound: the chip holds while its goodness is not below it.
    """
    return _crossing(repeat, downtimes(times_s, goodness, bound))


def _crossing(repeat: int, spans: Sequence[Downtime]) -> Crossing:
    if not spans:
        return Crossing(repeat, None, Censored.ABOVE)
    start_s = spans[0].start_s
    if start_s == -math.inf:
        return Crossing(repeat, None, Censored.BELOW)
    return Crossing(repeat, start_s, Censored.NONE)


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


def _quantile(error: float) -> float:
    """Return the normal distribution's quantile for an interval that errs as often."""
    from scipy.special import ndtri

    return float(ndtri(1 - error / 2))

"""When chips are down, that is worse than a threshold, and which share of them is not.

Everything that is said of how long chips hold follows from these spans. Nothing is drawn at random: shares
have Wilson's intervals.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from app.results.statistics import wilson, wilson95

FEWEST_CHIPS_FOR_95_PERCENT: Final = 20
_BETWEEN: Final = 8  # steps of a share's curve from one evaluated time to the next


@dataclass(frozen=True)
class Downtime:
    """A span in which a chip is worse than the threshold.

    Attributes:
        start_s: from when on, excluded; minus infinity where the chip is down at the first evaluated time.
        end_s: the evaluated time at which the chip is seen to be good again; infinity where it never is.
    """

    start_s: float
    end_s: float


@dataclass(frozen=True)
class Share:
    """The share of chips that are not down at a time.

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
class Until:
    """Until when 95 % of chips have not been down.

    Attributes:
        time_s: the first time at which more than 5 % are down together; the last evaluated time if they never
            are; None where that is not known.
        reason: why that is None, or more than it says.
    """

    time_s: float | None
    reason: str | None


def downtimes(times_s: Sequence[float], goodness: Sequence[float], bound: float) -> list[Downtime]:
    """Return the spans in which a chip's goodness is below a bound, in their order.

    Between two evaluated times the goodness falls linearly in ln t, as it does by drift; from t = 0 on,
    linearly in t. How it rises is not known, since services make it rise at once: a chip is down until it is
    seen to be good.

    Args:
        times_s: evaluated times, rising.
        goodness: of the chip at these times, larger is better; may be minus infinity.
        bound: the chip is good while its goodness is not below it.
    """
    found: list[Downtime] = []
    start_s: float | None = None
    for number, value in enumerate(goodness):
        if value >= bound:
            if start_s is not None:
                found.append(Downtime(start_s, times_s[number]))
                start_s = None
        elif start_s is None:
            start_s = _falls_s(times_s, goodness, bound, number) if number else -math.inf
    if start_s is not None:
        found.append(Downtime(start_s, math.inf))
    return found


def _falls_s(times_s: Sequence[float], goodness: Sequence[float], bound: float, after: int) -> float:
    """Return when a chip falls that is good at the evaluated time before number `after`, and bad at it."""
    before = after - 1
    share = (goodness[before] - bound) / (goodness[before] - goodness[after])  # 0 where one is infinite
    start_s, end_s = times_s[before], times_s[after]
    time_s = start_s * (end_s / start_s) ** share if start_s > 0 else share * end_s
    # Rounding leaves it where the chip was seen to hold, and before it was seen not to.
    return min(max(time_s, start_s), math.nextafter(end_s, start_s))


def for_good(spans: Sequence[Downtime]) -> list[Downtime]:
    """Return the downtimes of a chip that counts as fallen for good once it has fallen."""
    return [Downtime(spans[0].start_s, math.inf)] if spans else []


@dataclass(frozen=True)
class Fleet:
    """The chips of a variant, by when they are down.

    Attributes:
        times_s: evaluated times, rising.
        chips: the downtimes of each chip.
    """

    times_s: Sequence[float]
    chips: Sequence[Sequence[Downtime]]

    def up(self, time_s: float) -> int:
        """Return how many chips are not down at a time within the evaluated ones."""
        return len(self.chips) - sum(
            one.start_s < time_s < one.end_s for spans in self.chips for one in spans
        )

    def shares(self, z: float | None) -> Iterator[Share]:
        """Yield the share of chips that are not down, at the evaluated times and at some between them.

        Args:
            z: quantile of the normal distribution for intervals that waves leave valid; None where there are
                no waves.
        """
        count = len(self.chips)
        if not count:
            return
        starts_s = sorted(one.start_s for spans in self.chips for one in spans)
        ends_s = sorted(one.end_s for spans in self.chips for one in spans)
        for time_s in _grid(self.times_s):
            up = count - bisect_left(starts_s, time_s) + bisect_right(ends_s, time_s)
            adaptive = None if z is None else wilson(up, count, z)
            yield Share(time_s, up / count, wilson95(up, count), adaptive)

    def until_95_percent(self) -> Until:
        """Return until when 95 % of the chips are not down."""
        count = len(self.chips)
        if count < FEWEST_CHIPS_FOR_95_PERCENT:
            few = "one chip is" if count == 1 else f"{count} chips are"
            return Until(
                None, f"{few} too few to speak of 95 %: evaluate at least {FEWEST_CHIPS_FOR_95_PERCENT}"
            )
        allowed = count // 20  # chips that may be down while 95 % hold
        # Of spans that touch, the one that ends comes first.
        changes = sorted(
            change for spans in self.chips for one in spans for change in ((one.start_s, 1), (one.end_s, -1))
        )
        down = 0
        for time_s, change in changes:
            down += change
            if down > allowed:
                if time_s == -math.inf:
                    return Until(None, "fewer than 95 % of the chips hold at the first evaluated time")
                return Until(time_s, None)
        return Until(self.times_s[-1], "95 % of the chips still hold at the last evaluated time")


def _grid(times_s: Sequence[float]) -> Iterator[float]:
    """Yield the evaluated times and some between them, evenly in ln t, after t = 0 evenly in t."""
    yield times_s[0]
    for start_s, end_s in pairwise(times_s):
        for step in range(1, _BETWEEN):
            part = step / _BETWEEN
            yield start_s * (end_s / start_s) ** part if start_s > 0 else part * end_s
        yield end_s

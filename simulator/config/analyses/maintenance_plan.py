"""The maintenance plan: how far apart services may be, found by bisection over a fixed grid of intervals.

Each kind of service is planned by itself: a chip gets it at every multiple of an interval, and nothing else.
Before a service a chip is at its worst, so it is judged there, and holds an interval if it holds its target
every time. Longer intervals are taken to be no better than shorter ones.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from simulator.config.analyses.base import AnalysisConfig, Course, Setting
from simulator.config.base import Number, PositiveCount, custom_error
from simulator.config.evaluation import Repeats
from simulator.config.faults import Fault
from simulator.config.maintenance import (
    DEFAULT_SAMPLES,
    FEWEST_SAMPLES,
    MOST_SAMPLES,
    MaintenanceRule,
    ServiceKind,
    ServiceKinds,
)
from simulator.config.tasks import Metric, default_threshold
from simulator.config.times import TimeAfterProgramming

if TYPE_CHECKING:
    from simulator.config.job import JobSpec

GRID: Final = 20
SHORTEST_S: Final = 3600.0
FEWEST_CHIPS: Final = 20
MOST_JUDGED: Final = 8  # services before which a chip is judged, spread evenly in the logarithm of time


class MaintenancePlan(AnalysisConfig):
    """How far apart services may be while enough chips hold a target."""

    type: Literal["maintenance_plan"] = "maintenance_plan"
    accuracy: Annotated[Number, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Least accuracy that a chip has to hold; null: one point below digital, or `threshold`.",
    )
    threshold: Annotated[Number, Field(ge=0)] | None = Field(
        default=None, description="Worst value of the job's metric that a chip may have, in its unit."
    )
    chips: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.95, description="Share of the chips that have to hold it."
    )
    do: ServiceKinds = Field(
        default=(ServiceKind.COMPENSATE,), description="Kinds of service, each planned by itself."
    )
    horizon: TimeAfterProgramming | None = Field(
        default=None, description="How long chips have to hold it, in s; null: until the job's last time."
    )
    samples: Annotated[PositiveCount, Field(ge=FEWEST_SAMPLES, le=MOST_SAMPLES)] = Field(
        default=DEFAULT_SAMPLES, description="Training samples of a service that needs some."
    )
    repeats: Annotated[Repeats, Field(ge=FEWEST_CHIPS)] | None = Field(
        default=None, description="Number of chips, the job's first; null: 20."
    )

    @model_validator(mode="after")
    def _one_target(self) -> MaintenancePlan:
        if self.accuracy is not None and self.threshold is not None:
            raise custom_error("one_threshold_only", "accuracy and threshold are given; give one of them")
        if self.t_inference is not None:
            message = "a maintenance plan looks from programming to its horizon, and has no t_inference"
            raise custom_error("not_allowed", message, hint="give horizon, in seconds")
        return self

    @property
    def services(self) -> tuple[ServiceKind, ...]:
        """What it does to chips."""
        return self.do

    def horizon_s(self, job: JobSpec) -> float:
        """Return how long chips have to hold the target, in s."""
        return job.evaluate.t_inference[-1] if self.horizon is None else self.horizon

    def times_s(self, job: JobSpec) -> tuple[float, ...]:
        """Return the horizon: a chip has one answer for all of the time until then."""
        return (self.horizon_s(job),)

    def chips_of(self, job: JobSpec) -> int:
        """Return the number of chips."""
        del job
        return FEWEST_CHIPS if self.repeats is None else self.repeats

    def course_of(self, coordinates: Mapping[str, Any]) -> Course:
        """Return the schedule of a setting, and when chips are judged under it."""
        interval_s, horizon_s = coordinates["interval_s"], coordinates["horizon_s"]
        kind, samples = ServiceKind(coordinates["do"]), coordinates.get("samples", DEFAULT_SAMPLES)
        rule = MaintenanceRule(every=interval_s, do=(kind,), samples=samples)
        return (rule,), judged_s(interval_s, horizon_s)

    def faults(self, job: JobSpec) -> Iterator[Fault]:
        """Yield what does not fit the job, located in the analysis."""
        if self.horizon_s(job) <= SHORTEST_S:
            message = f"the horizon is {self.horizon_s(job):g} s, and intervals begin at {SHORTEST_S:g} s"
            yield Fault("/horizon", "invalid_value", message, "look further ahead")
        if self.repeats is None and job.evaluate.fewest_repeats < FEWEST_CHIPS:
            message = (
                f"a plan for {100 * self.chips:g} % of chips looks at {FEWEST_CHIPS} chips or more, and the"
                f" job is sure to have {job.evaluate.fewest_repeats}"
            )
            yield Fault("/repeats", "not_evaluated", message, "raise evaluate.repeats")

    def metric_faults(self, metric: Metric) -> Iterator[Fault]:
        """Yield whether the target is not one of the job's metric."""
        if self.accuracy is not None and metric is not Metric.ACCURACY:
            hint = f"give threshold, a value of {metric}"
            yield Fault("/accuracy", "wrong_metric", f"the job's metric is {metric}, not accuracy", hint)
        if self.threshold is not None and metric is Metric.ACCURACY and self.threshold > 1:
            message = "an accuracy is from 0 to 1, such as 0.95 for 95 %"
            yield Fault("/threshold", "out_of_range", message)

    def target(self, metric: Metric, digital: float | None) -> float | None:
        """Return the worst value that a chip may have; None where digital is asked and not known."""
        given = self.threshold if self.accuracy is None else self.accuracy
        return given if given is not None else default_threshold(metric, digital)


def intervals_s(horizon_s: float) -> list[float]:
    """Return the grid of intervals: evenly in their logarithm, from an hour to the horizon."""
    ratio = horizon_s / SHORTEST_S
    inner = [SHORTEST_S * ratio ** (number / (GRID - 1)) for number in range(1, GRID - 1)]
    return [SHORTEST_S, *inner, horizon_s]


def judged_s(interval_s: float, horizon_s: float) -> list[float]:
    """Return when a chip is judged: just before services, the first and the last among them, and at the end.

    Before `MOST_JUDGED` of the services at the most, spread evenly in the logarithm of time.
    """
    count = int(horizon_s / interval_s)
    while (count + 1) * interval_s <= horizon_s:
        count += 1
    while count * interval_s > horizon_s:
        count -= 1
    steps = MOST_JUDGED - 1
    chosen = {max(1, round(count ** (step / steps))) for step in range(MOST_JUDGED)} | {1, count}
    before = [math.nextafter(number * interval_s, 0) for number in sorted(chosen)]
    return before if count * interval_s == horizon_s else [*before, horizon_s]


def setting_of(kind: ServiceKind, interval_s: float, horizon_s: float, samples: int) -> Setting:
    """Return the evaluation of a kind of service at an interval, until a horizon."""
    coordinates = {"do": kind.value, "interval_s": interval_s, "horizon_s": horizon_s}
    if kind.needs_samples:
        coordinates["samples"] = samples
    text = json.dumps(coordinates, sort_keys=True, allow_nan=False)
    key = f"every:{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    return Setting(key, coordinates, passes=len(judged_s(interval_s, horizon_s)))


class CensoredInterval(StrEnum):
    """What is known of an interval outside of the grid.

    NONE: the longest that holds lies within. ABOVE: even the longest of the grid holds. BELOW: not even the
    shortest does.
    """

    NONE = "none"
    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True)
class Search:
    """How far the bisection of one kind of service is.

    Attributes:
        holds: the number of the longest interval that is known to hold; -1 where none is.
        fails: of the shortest that is known not to; the size of the grid where none is.
    """

    holds: int = -1
    fails: int = GRID

    @property
    def is_over(self) -> bool:
        """Whether the longest interval is known."""
        return self.fails - self.holds <= 1

    @property
    def next(self) -> int:
        """The number of the interval to evaluate next."""
        return (self.holds + self.fails) // 2

    @property
    def censored(self) -> CensoredInterval:
        """Where the longest interval lies, once the search is over."""
        if self.holds < 0:
            return CensoredInterval.BELOW
        return CensoredInterval.ABOVE if self.holds == GRID - 1 else CensoredInterval.NONE

    def after(self, *, holds: bool) -> Search:
        """Return the search once its next interval is known."""
        return Search(self.next, self.fails) if holds else Search(self.holds, self.next)


def searched(shares: Mapping[int, float], wanted: float) -> Search:
    """Return how far a search is.

    Args:
        shares: of the chips that hold, by number of the interval, as far as these are known.
        wanted: share.
    """
    search = Search()
    while not search.is_over and search.next in shares:
        search = search.after(holds=shares[search.next] >= wanted - 1e-9)
    return search


def holding(values: Sequence[float | None], metric: Metric, target: float) -> int:
    """Return how many chips hold a target; one whose metric is not finite does not."""
    sign = 1 if metric.higher_is_better else -1
    return sum(value is not None and sign * value >= sign * target for value in values)

"""The maintenance plan: one interval of each kind of service a round, by bisection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from simulator.config import Variant
from simulator.config.analyses import MaintenancePlan, Setting
from simulator.config.analyses.maintenance_plan import (
    Search,
    holding,
    intervals_s,
    searched,
    setting_of,
)
from simulator.config.maintenance import ServiceKind


@dataclass(frozen=True)
class Interval:
    """An interval that was evaluated.

    Attributes:
        number: within the grid.
        interval_s: from one service to the next, in s.
        chips: that were evaluated by now.
        holding: how many of them hold the target.
    """

    number: int
    interval_s: float
    chips: int
    holding: int


def first(plan: MaintenancePlan, subject: Subject, variant: Variant) -> Sequence[Setting]:
    """Return the middle of the grid, for each kind of service."""
    del variant
    return [_setting(plan, subject, kind, Search().next) for kind in plan.do]


def further(
    plan: MaintenancePlan, subject: Subject, variant: Variant, measured: Measured
) -> Sequence[Setting]:
    """Return the next interval of each kind whose longest is not known."""
    if target_of(plan, measured) is None:
        return ()
    searches = {kind: search_of(plan, subject, variant, measured, kind) for kind in plan.do}
    return [_setting(plan, subject, kind, one.next) for kind, one in searches.items() if not one.is_over]


def target_of(plan: MaintenancePlan, measured: Measured) -> float | None:
    """Return the worst value that a chip may have; None where it follows from an unknown digital one."""
    return plan.target(measured.metric, measured.digital.get(Variant.DIRECT.value))


def search_of(
    plan: MaintenancePlan, subject: Subject, variant: Variant, measured: Measured, kind: ServiceKind
) -> Search:
    """Return how far the search of a kind of service is."""
    wanted = plan.chips_of(subject.spec)
    shares = {
        one.number: one.holding / one.chips
        for one in evaluated(plan, subject, variant, measured, kind)
        if one.chips == wanted
    }
    return searched(shares, plan.chips)


def evaluated(
    plan: MaintenancePlan, subject: Subject, variant: Variant, measured: Measured, kind: ServiceKind
) -> Iterator[Interval]:
    """Yield the intervals of a kind of service that were evaluated by now, rising."""
    target = target_of(plan, measured)
    if target is None:
        return
    horizon_s = plan.horizon_s(subject.spec)
    for number, interval_s in enumerate(intervals_s(horizon_s)):
        key = _setting(plan, subject, kind, number).key
        places = [(variant.value, horizon_s, chip) for chip in range(plan.chips_of(subject.spec))]
        values = [measured.settings[key, place] for place in places if measured.has(key, place)]
        if values:
            yield Interval(number, interval_s, len(values), holding(values, measured.metric, target))


def _setting(plan: MaintenancePlan, subject: Subject, kind: ServiceKind, number: int) -> Setting:
    horizon_s = plan.horizon_s(subject.spec)
    return setting_of(kind, intervals_s(horizon_s)[number], horizon_s, plan.samples)

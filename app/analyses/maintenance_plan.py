"""A maintenance plan as clients read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from app.analyses.asked import Asked
from app.analyses.schemas import LongestIntervalView, MaintenancePlanView, PlanRowView
from app.engine.kinds.analyses.maintenance_plan import evaluated, search_of, target_of
from app.results.statistics import wilson95
from driftline.times import in_words
from simulator.config import Variant
from simulator.config.analyses import MaintenancePlan
from simulator.config.analyses.maintenance_plan import (
    GRID,
    MOST_JUDGED,
    SHORTEST_S,
    CensoredInterval,
    intervals_s,
)
from simulator.config.maintenance import ServiceKind


def view(asked: Asked) -> MaintenancePlanView:
    """Return the answer, as far as it is known."""
    plan = cast("MaintenancePlan", asked.analysis)
    spec = asked.subject.spec
    places = [(variant, kind) for variant in plan.variants_of(spec) for kind in plan.do]
    answer = MaintenancePlanView(
        **asked.common(),
        target=target_of(plan, asked.measured),
        chips=plan.chips,
        horizon_s=plan.horizon_s(spec),
        rows=[row for variant, kind in places for row in _rows(asked, plan, variant, kind)],
        longest=[_longest(asked, plan, variant, kind) for variant, kind in places],
    )
    answer.notes += _notes(plan, answer)
    return answer


def _rows(asked: Asked, plan: MaintenancePlan, variant: Variant, kind: ServiceKind) -> Iterator[PlanRowView]:
    for one in evaluated(plan, asked.subject, variant, asked.measured, kind):
        yield PlanRowView(
            variant=variant.value,
            t_inference=plan.horizon_s(asked.subject.spec),
            do=kind,
            interval_s=one.interval_s,
            share=one.holding / one.chips,
            ci95=wilson95(one.holding, one.chips),
            chips=one.chips,
        )


def _longest(asked: Asked, plan: MaintenancePlan, variant: Variant, kind: ServiceKind) -> LongestIntervalView:
    search = search_of(plan, asked.subject, variant, asked.measured, kind)
    grid = intervals_s(plan.horizon_s(asked.subject.spec))
    is_inside = search.is_over and search.censored is CensoredInterval.NONE
    return LongestIntervalView(
        variant=variant.value,
        do=kind,
        longest_interval_s=grid[search.holds] if is_inside else None,
        next_interval_s=grid[search.fails] if is_inside else None,
        censored=search.censored if search.is_over else None,
    )


def _notes(plan: MaintenancePlan, answer: MaintenancePlanView) -> Iterator[str]:
    yield (
        f"Chips are judged just before a service, where they are at their worst: before up to {MOST_JUDGED} "
        f"of the services until {in_words(answer.horizon_s)}, the first and the last among them, and at the "
        "end."
    )
    if any(kind is not ServiceKind.COMPENSATE for kind in plan.do):
        yield "Each kind of service is planned alone: without compensate, chips are not compensated at all."
    for one in answer.longest:
        if one.censored is CensoredInterval.BELOW:
            yield (
                f"With {one.do} every {in_words(SHORTEST_S)[2:]}, fewer than {100 * plan.chips:g} % of the "
                f"chips of {one.variant} hold the target."
            )
        elif one.censored is None and not answer.complete:
            yield f"The longest interval of {one.do} comes after up to five rounds on a grid of {GRID}."

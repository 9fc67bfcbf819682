"""Chips in waves: how many a job has, what they say, and the items of the next wave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Cell, Job, WorkItem
from app.engine.items.taking_over import repeats_of
from app.engine.keys import ItemKind
from app.engine.kinds.inference import plan, waves
from app.engine.states import warn
from simulator.config.evaluation import RepeatsUntil
from simulator.config.job import JobSpec

NOT_KNOWN = "not_known_well_enough"


@dataclass(frozen=True)
class Evaluated:
    """What the next wave follows from.

    Attributes:
        chips: that there are items for.
        metrics: of these chips, in their order, by variant and time.
        how: how the job's chips are evaluated, as the payloads of its items say it.
    """

    chips: int
    metrics: Mapping[waves.Place, Sequence[float | None]]
    how: plan.Waves


def until_of(job: Job) -> RepeatsUntil | None:
    """Return what decides how many chips a job has; None where their number is fixed."""
    repeats = job.spec.get("evaluate", {}).get("repeats")
    return RepeatsUntil.model_validate(repeats) if isinstance(repeats, dict) else None


def chips_of(session: Session, job: Job) -> int:
    """Return how many chips a job has: those it asks for, or those of the waves that were planned so far."""
    repeats = job.spec.get("evaluate", {}).get("repeats", 0)
    return _planned(_payloads(session, job.id)) if isinstance(repeats, dict) else int(repeats)


def waves_of(session: Session, job: Job) -> plan.Waves:
    """Return how the chips of a job in waves are evaluated."""
    return plan.Waves.from_payload(_payloads(session, job.id)[0])


def evaluated(session: Session, job: Job) -> Evaluated | None:
    """Return what the chips of a job in waves have found; None where their number is fixed."""
    if until_of(job) is None:
        return None
    payloads = _payloads(session, job.id)
    chips = _planned(payloads)
    query = select(Cell.variant, Cell.t_inference, Cell.metric).where(
        Cell.job_id == job.id, Cell.repeat < chips
    )
    metrics: dict[waves.Place, list[float | None]] = {}
    for variant, t_inference, metric in session.execute(
        query.order_by(Cell.variant, Cell.t_inference, Cell.repeat)
    ):
        metrics.setdefault((variant, t_inference), []).append(metric)
    return Evaluated(chips, metrics, plan.Waves.from_payload(payloads[0]))


def next_items(spec: JobSpec, found: Evaluated) -> list[WorkItem]:
    """Return the items of the next wave, from the arguments alone; none where the chips so far are enough."""
    until = spec.evaluate.until
    if until is None:
        return []
    chips = waves.next_wave(until, found.metrics, found.chips)
    return [
        item for variant in spec.analog for item in plan.shards(spec, variant, chips, found.how, needs=())
    ]


def warn_of_width(session: Session, job: Job) -> None:
    """Add a warning where a job in waves ends and knows less than it was asked for."""
    until, found = until_of(job), evaluated(session, job)
    if until is None or found is None:
        return
    width = waves.widest(until, found.metrics)
    if width is not None and width <= until.until_ci95:
        return
    known = "cannot be known: the metric of a chip is not finite" if width is None else f"is {width:.3g}"
    message = (
        f"after {found.chips} chips the half width of the interval {known};"
        f" the job asked for {until.until_ci95:g}"
    )
    warn(session, job, pointer="/evaluate/repeats", code=NOT_KNOWN, message=message)


def _payloads(session: Session, job_id: str) -> list[dict[str, Any]]:
    query = select(WorkItem.payload).where(WorkItem.job_id == job_id, WorkItem.kind == ItemKind.EVALUATE)
    return list(session.scalars(query.order_by(WorkItem.id)))


def _planned(payloads: Sequence[Mapping[str, Any]]) -> int:
    return max((end for payload in payloads for _, end in repeats_of(dict(payload))), default=0)

"""Costs of jobs beside how well they do: accuracy against energy over the jobs of a tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from app.cost.jobs import NoCostError, job_cost
from app.cost.schemas import TaggedCost, TaggedCosts
from app.jobs.repository import JobFilter, JobRepository
from app.kit.transactions import snapshot
from app.services import Services
from driftline.quantities import overlap
from simulator.config import Variant

# The network that a job is about: the fine-tuned one before others.
_PREFERRED: Final = (Variant.HWA, Variant.DIRECT, Variant.CONTROL)


@dataclass(frozen=True)
class _Priced:
    """A job and what an inference costs in it."""

    job_id: str
    name: str
    answer: Mapping[str, Any]


async def costs_of_tag(services: Services, tag: str, limit: int) -> TaggedCosts:
    """Return the costs of the newest jobs with a tag, beside how well they do at their last time.

    Args:
        services: for the database, the files and the results.
        tag: of the jobs.
        limit: how many jobs are looked at.
    """
    priced, looked_at = await run_in_threadpool(_priced, services, tag, limit)
    found = []
    for one in priced:
        summary = await services.results.summary(one.job_id)
        row = _row(one, summary.answer)
        if row is not None:
            found.append(row)
    metric = found[0]["metric"] if found else None
    alike = [row for row in found if row["metric"] == metric]  # metrics of different tasks are not compared
    for row in alike:
        row["overlaps"] = [
            other["job"]
            for other in alike
            if other is not row and overlap(row["energy_j"], other["energy_j"])
        ]
    items = [TaggedCost.model_validate(row) for row in alike]
    return TaggedCosts(tag=tag, metric=metric, left_out=looked_at - len(items), items=items)


def _priced(services: Services, tag: str, limit: int) -> tuple[Sequence[_Priced], int]:
    with snapshot(services) as session:
        jobs = JobRepository(session).listing(JobFilter(tags=(tag,)), after_id=None, limit=limit)
        found = []
        for job in jobs:
            try:
                cost = job_cost(session, services.blobs, job)
            except NoCostError:
                continue
            if cost is not None:
                found.append(_Priced(job.id, job.name or f"job {job.id}", cost.answer))
        return found, len(jobs)


def _row(one: _Priced, answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a job's row; None before it has a result that is finite."""
    series = {series["variant"]: series["points"] for series in answer["series"]}
    variant = next((variant for variant in _PREFERRED if series.get(variant)), None)
    if variant is None:
        return None
    last = series[variant][-1]
    if last["mean"] is None:
        return None
    return {
        "job": one.job_id,
        "name": one.name,
        **{name: one.answer[name] for name in ("profile", "energy_j", "latency_s", "area_mm2")},
        "metric": answer["metric"],
        "variant": variant,
        **{name: last[name] for name in ("t_inference", "repeats", "mean", "ci95")},
    }

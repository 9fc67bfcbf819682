"""Jobs side by side: their metric aligned in time, its difference with an interval, what they differ in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

from sqlalchemy.orm import Session

from app.compare.schemas import ComparedJob, ComparedPoint, ComparisonView, ConfigDifference, Difference
from app.db.tables import Cell, Job
from app.jobs import results
from app.jobs.repository import JobRepository
from app.jobs.schemas import PointView
from app.kit.problems import Fault, InvalidRequest

MOST_JOBS = 8
_NOT_COMPARED = frozenset({"name", "tags", "priority", "rpu_config"})

Cells = dict[tuple[str, float], list[Cell]]


class CompareService:
    """Compares jobs."""

    def __init__(self, session: Session) -> None:
        self._jobs = JobRepository(session)

    def compare(self, job_ids: Sequence[str]) -> ComparisonView:
        """Return the jobs side by side, each against the first.

        Raises:
            InvalidRequest: there are not two to eight different jobs, one is unknown, or their tasks differ.
        """
        jobs = self._find(job_ids)
        metric = results.metric_name(jobs[0].spec["task"])
        cells = [self._cells(job) for job in jobs]
        places = sorted(
            {place for one in cells for place in one},
            key=lambda place: (results.VARIANT_ORDER.index(place[0]), place[1]),
        )
        task = jobs[0].spec["task"]
        return ComparisonView(
            jobs=[ComparedJob.model_validate(job, from_attributes=True) for job in jobs],
            metric=metric,
            baseline={
                job.id: {
                    row.variant: results.baseline_json(task, row) for row in self._jobs.baselines(job.id)
                }
                for job in jobs
            },
            points=[_point(task, jobs, cells, variant, t) for variant, t in places],
            differences=list(_config_differences(jobs)),
        )

    def _find(self, job_ids: Sequence[str]) -> list[Job]:
        faults = []
        if not 2 <= len(job_ids) <= MOST_JOBS or len(set(job_ids)) < len(job_ids):
            message = f"two to {MOST_JOBS} different jobs are compared"
            faults.append(
                Fault(pointer="/query/job", code="wrong_number", message=message, hint="?job=...&job=...")
            )
        found = [self._jobs.get(job_id) for job_id in job_ids]
        faults += [
            Fault(pointer="/query/job", code="unknown_job", message=f"there is no job {job_id[:100]!r}")
            for job_id, job in zip(job_ids, found, strict=True)
            if job is None
        ]
        jobs = [job for job in found if job is not None]
        if len({job.spec["task"] for job in jobs}) > 1:
            message = "the jobs have different tasks, and so different metrics"
            faults.append(Fault(pointer="/query/job", code="task_mismatch", message=message))
        if faults:
            raise InvalidRequest("these jobs cannot be compared", errors=faults)
        return jobs

    def _baseline(self, task: str, job: Job) -> dict[str, dict[str, Any]]:
        return {row.variant: results.baseline_json(task, row) for row in self._jobs.baselines(job.id)}

    def _cells(self, job: Job) -> Cells:
        cells: Cells = {}
        for cell in self._jobs.cells(job.id):
            cells.setdefault((cell.variant, cell.t_inference), []).append(cell)
        return cells


def _point(
    task: str, jobs: Sequence[Job], cells: Sequence[Cells], variant: str, t_inference: float
) -> ComparedPoint:
    groups = [one.get((variant, t_inference), []) for one in cells]
    first = {cell.repeat: results.metric_of(task, cell) for cell in groups[0]}
    differences = []
    for job, group in zip(jobs[1:], groups[1:], strict=True):
        values = {cell.repeat: results.metric_of(task, cell) for cell in group}
        if first and values:
            differences.append(difference(job.id, first, values, paired=job.seed == jobs[0].seed))
    return ComparedPoint(
        variant=variant,
        t_inference=t_inference,
        points={
            job.id: PointView.model_validate(asdict(results.point(task, t_inference, group)))
            for job, group in zip(jobs, groups, strict=True)
            if group
        },
        differences=differences,
    )


def difference(job_id: str, first: dict[int, float], other: dict[int, float], *, paired: bool) -> Difference:
    """Return the mean of `other` minus that of `first`, with a 95 % interval.

    Args:
        job_id: whose values `other` are.
        first: the metric by chip.
        other: the same of the other job.
        paired: equal chip numbers are equal chips, because the seeds agree.
    """
    common = sorted(first.keys() & other.keys())
    if paired and common:
        gaps = [other[repeat] - first[repeat] for repeat in common]
        mean, variance = _moments(gaps)
        half = None if variance is None else _half(len(gaps) - 1, variance / len(gaps))
        return _difference(job_id, mean, half, "paired", len(common))
    (mean_1, variance_1), (mean_2, variance_2) = (
        _moments(list(first.values())),
        _moments(list(other.values())),
    )
    half = None
    if variance_1 is not None and variance_2 is not None:
        parts = variance_1 / len(first), variance_2 / len(other)
        error = sum(parts)
        if error > 0:
            # Welch and Satterthwaite's degrees of freedom
            spread = parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(other) - 1)
            half = _half(error**2 / spread, error)
        else:
            half = 0.0
    return _difference(job_id, mean_2 - mean_1, half, "welch", None)


def _difference(
    job_id: str, mean: float, half: float | None, method: Literal["paired", "welch"], pairs: int | None
) -> Difference:
    ci95 = None if half is None else (mean - half, mean + half)
    return Difference(job=job_id, mean=mean, ci95=ci95, method=method, pairs=pairs)


def _moments(values: list[float]) -> tuple[float, float | None]:
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _half(degrees: float, squared_error: float) -> float:
    return results.student_t95(degrees) * math.sqrt(squared_error)


def _config_differences(jobs: Sequence[Job]) -> Iterator[ConfigDifference]:
    leaves = [
        dict(_leaves(job.effective_config, "/effective_config"))
        | dict(_leaves({k: v for k, v in job.spec.items() if k not in _NOT_COMPARED}, "/spec"))
        for job in jobs
    ]
    for pointer in sorted({pointer for one in leaves for pointer in one}):
        values = {job.id: one[pointer] for job, one in zip(jobs, leaves, strict=True) if pointer in one}
        shown = list(values.values())
        if len(values) < len(jobs) or any(value != shown[0] for value in shown):
            yield ConfigDifference(pointer=pointer, values=values)


def _leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    else:
        yield pointer, value

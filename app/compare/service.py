"""Jobs side by side: their metric aligned in time, its difference with an interval, what they differ in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy.orm import Session

from app.compare.schemas import (
    ComparedCost,
    ComparedJob,
    ComparedPoint,
    ComparisonView,
    ConfigDifference,
    Difference,
)
from app.configs.difference import leaves
from app.cost.jobs import NoCostError, job_cost
from app.db.blobs import BlobStore
from app.db.tables import Job
from app.engine.kinds.inference.repeats import until_of
from app.engine.kinds.inference.waves import ERROR
from app.engine.specification import task_of
from app.kit.etag import etag_of
from app.kit.problems import Fault, InvalidRequest
from app.results import statistics
from app.results.cells import Cells
from app.results.reader import ResultReader, Version
from app.results.repository import ResultRepository
from app.results.schemas import PointView
from driftline.quantities import overlap
from simulator.config.tasks import TASKS, Task

if TYPE_CHECKING:
    from app.results.cells import Reals
    from simulator.config.evaluation import RepeatsUntil

MOST_JOBS = 8
_NOT_COMPARED = frozenset({"name", "tags", "priority", "rpu_config"})


@dataclass(frozen=True)
class Compared:
    """Jobs that can be compared, as of one snapshot; computing with them needs no database.

    Attributes:
        jobs: the first is what the others are compared with.
        cells: of each.
        baseline: by job, then by model.
        costs: of an inference by job, as the API has them; of those that name hardware.
    """

    jobs: Sequence[Job]
    cells: Sequence[Cells]
    baseline: dict[str, dict[str, dict[str, Any]]]
    costs: dict[str, dict[str, Any]]

    @property
    def task(self) -> Task:
        """What all the jobs are about."""
        return task_of(self.jobs[0])

    def view(self) -> ComparisonView:
        """Return the jobs side by side, each against the first."""
        task = self.task
        metrics = [statistics.metrics_of(task, cells) for cells in self.cells]
        untils = [until_of(job) for job in self.jobs]
        points = [
            statistics.points(task, cells, until) for cells, until in zip(self.cells, untils, strict=True)
        ]
        places = [
            {(group.variant, group.t_inference): index for index, group in enumerate(cells.groups)}
            for cells in self.cells
        ]
        order = sorted(
            {place for one in places for place in one},
            key=lambda place: (statistics.VARIANT_ORDER.index(place[0]), place[1]),
        )
        compared = []
        for place in order:
            groups = [one.get(place) for one in places]
            chips = [
                None if index is None else _chips(cells, values, index)
                for cells, values, index in zip(self.cells, metrics, groups, strict=True)
            ]
            compared.append(
                ComparedPoint(
                    variant=place[0],
                    t_inference=place[1],
                    points={
                        job.id: PointView.model_validate(found[index].as_json())
                        for job, found, index in zip(self.jobs, points, groups, strict=True)
                        if index is not None
                    },
                    differences=list(self._differences(chips, untils)),
                )
            )
        return ComparisonView(
            jobs=[self._job(job) for job in self.jobs],
            metric=TASKS[task].metric,
            baseline=self.baseline,
            points=compared,
            differences=list(_config_differences(self.jobs)),
        )

    def _job(self, job: Job) -> ComparedJob:
        found, cost = ComparedJob.model_validate(job, from_attributes=True), self.costs.get(job.id)
        if cost is None:
            return found
        alike = [
            other
            for other, its in self.costs.items()
            if other != job.id and overlap(cost["energy_j"], its["energy_j"])
        ]
        return found.model_copy(update={"cost": ComparedCost.model_validate({**cost, "overlaps": alike})})

    def _differences(
        self, chips: Sequence[Chips | None], untils: Sequence[RepeatsUntil | None]
    ) -> Iterator[Difference]:
        first = chips[0]
        for job, other, until in zip(self.jobs[1:], chips[1:], untils[1:], strict=True):
            if first is not None and other is not None:
                is_paired = job.seed == self.jobs[0].seed
                yield difference(job.id, first, other, paired=is_paired, until=(untils[0], until))


class CompareService:
    """Finds jobs to compare."""

    def __init__(self, session: Session, reader: ResultReader, blobs: BlobStore) -> None:
        self._session = session
        self._blobs = blobs
        self._reader = reader
        self._results = ResultRepository(session)

    def compared(self, job_ids: Sequence[str]) -> Compared:
        """Return the jobs with their results; raises as `find` does."""
        jobs = self.find(job_ids)
        return Compared(
            jobs,
            [self._reader.cells_of(self._session, job) for job in jobs],
            {
                job.id: {
                    row.variant: statistics.baseline_json(task_of(job), row.counts)
                    for row in self._results.baselines(job.id)
                }
                for job in jobs
            },
            {job.id: cost for job in jobs if (cost := self._cost(job)) is not None},
        )

    def _cost(self, job: Job) -> dict[str, Any] | None:
        try:
            found = job_cost(self._session, self._blobs, job)
        except NoCostError:  # `/cost` of the job says why
            return None
        return None if found is None else found.answer

    def find(self, job_ids: Sequence[str]) -> list[Job]:
        """Return the jobs.

        Raises:
            InvalidRequest: there are not two to eight different jobs, one is unknown, or their tasks differ.
        """
        faults = []
        if not 2 <= len(job_ids) <= MOST_JOBS or len(set(job_ids)) < len(job_ids):
            message = f"two to {MOST_JOBS} different jobs are compared"
            faults.append(
                Fault(pointer="/query/job", code="wrong_number", message=message, hint="?job=...&job=...")
            )
        found = [self._results.job(job_id) for job_id in job_ids]
        faults += [
            Fault(pointer="/query/job", code="unknown_job", message=f"there is no job {job_id[:100]!r}")
            for job_id, job in zip(job_ids, found, strict=True)
            if job is None
        ]
        jobs = [job for job in found if job is not None]
        if len({task_of(job) for job in jobs}) > 1:
            message = "the jobs have different tasks, and so different metrics"
            faults.append(Fault(pointer="/query/job", code="task_mismatch", message=message))
        if faults:
            raise InvalidRequest("these jobs cannot be compared", errors=faults)
        return jobs


Chips = tuple["Reals", "Reals"]  # numbers of the chips, rising, and their metric


def _chips(cells: Cells, metrics: Reals, index: int) -> Chips:
    rows = cells.groups[index].rows
    return cells.columns["repeat"][rows], metrics[rows]


def difference(
    job_id: str,
    first: Chips,
    other: Chips,
    *,
    paired: bool,
    until: tuple[RepeatsUntil | None, RepeatsUntil | None] = (None, None),
) -> Difference:
    """Return the mean of `other` minus that of `first`, with its 95 % intervals.

    Args:
        job_id: whose values `other` are.
        first: the metric by chip.
        other: the same of the other job.
        paired: equal chip numbers are equal chips, because the seeds agree.
        until: what decided how many chips the jobs of `first` and of `other` have; None where it was fixed.
    """
    import numpy as np

    if paired:
        common, in_first, in_other = np.intersect1d(
            first[0], other[0], assume_unique=True, return_indices=True
        )
        if len(common):
            with np.errstate(invalid="ignore", over="ignore"):
                gaps = other[1][in_other] - first[1][in_first]
            mean, variance = _moments(gaps)
            spread = None if variance is None else (float(len(gaps) - 1), variance / len(gaps))
            stops = {min(pair) for pair in _stops(first, other, until)}
            looks = len(stops) if len(common) in stops else 0
            return _difference(job_id, mean, spread, "paired", len(common), looks=looks, until=until)
    (mean_1, variance_1), (mean_2, variance_2) = _moments(first[1]), _moments(other[1])
    spread_2 = None
    if variance_1 is not None and variance_2 is not None:
        parts = variance_1 / len(first[1]), variance_2 / len(other[1])
        error = parts[0] + parts[1]
        # Welch and Satterthwaite's degrees of freedom
        below = parts[0] ** 2 / (len(first[1]) - 1) + parts[1] ** 2 / (len(other[1]) - 1)
        spread_2 = (error**2 / below, error) if below > 0 else (1.0, 0.0)
    both = _stops(first, other, until)
    looks = len(both) if (len(first[0]), len(other[0])) in both else 0
    return _difference(job_id, mean_2 - mean_1, spread_2, "welch", None, looks=looks, until=until)


def _stops(
    first: Chips, other: Chips, until: tuple[RepeatsUntil | None, RepeatsUntil | None]
) -> set[tuple[int, int]]:
    """Return the numbers of chips at which both jobs may have stopped."""
    here, there = (
        (len(chips[0]),) if one is None else one.waves
        for chips, one in zip((first, other), until, strict=True)
    )
    return set(product(here, there))


def _difference(
    job_id: str,
    mean: float,
    spread: tuple[float, float] | None,
    method: Literal["paired", "welch"],
    pairs: int | None,
    *,
    looks: int,
    until: tuple[RepeatsUntil | None, RepeatsUntil | None],
) -> Difference:
    """Return a difference with its intervals, from its degrees of freedom and its squared standard error."""

    def interval(error: float) -> tuple[float, float] | None:
        if spread is None or not math.isfinite(mean):
            return None
        half = statistics.student_t(spread[0], error) * math.sqrt(spread[1])
        return (mean - half, mean + half) if math.isfinite(half) else None

    is_adaptive = until != (None, None) and looks > 0
    return Difference(
        job=job_id,
        mean=mean if math.isfinite(mean) else None,
        ci95=interval(ERROR),
        ci95_adaptive=interval(ERROR / looks) if is_adaptive else None,
        method=method,
        pairs=pairs,
    )


def _moments(values: Reals) -> tuple[float, float | None]:
    """Return mean and sample variance; the mean is not a number where a value is not finite."""
    import numpy as np

    if not np.isfinite(values).all():
        return math.nan, None
    with np.errstate(over="ignore", invalid="ignore"):
        return float(values.mean()), float(values.var(ddof=1)) if len(values) > 1 else None


def comparison_tag(jobs: Sequence[Job], form: str) -> str:
    """Return the entity tag of a comparison: nothing of a job changes but its state and its results."""
    return etag_of("|".join([form, *(f"{Version.of(job).tag()} {job.state}" for job in jobs)]))


def _config_differences(jobs: Sequence[Job]) -> Iterator[ConfigDifference]:
    fields = [
        dict(leaves(job.effective_config, "/effective_config"))
        | dict(leaves({k: v for k, v in job.spec.items() if k not in _NOT_COMPARED}, "/spec"))
        for job in jobs
    ]
    for pointer in sorted({pointer for one in fields for pointer in one}):
        values = {job.id: one[pointer] for job, one in zip(jobs, fields, strict=True) if pointer in one}
        shown = list(values.values())
        if len(values) < len(jobs) or any(value != shown[0] for value in shown):
            yield ConfigDifference(pointer=pointer, values=values)

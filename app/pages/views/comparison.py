"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.compare.schemas import ComparedPoint, ComparisonView
from app.compare.service import Compared
from app.pages.views.job_list import name_of
from driftline.quantities import band


@dataclass(frozen=True)
class ComparedName:
    """A compared job: its letter stands for it in tables and legends."""

    id: str
    index: int
    letter: str
    name: str
    state: str
    seed: int


@dataclass(frozen=True)
class ComparedCosts:
    """What an inference of a job costs, in words.

    Attributes:
        job: whose.
        profile: the hardware profile.
        energy: with its band.
        latency: with its band.
        area: with its band.
        overlaps: letters of the jobs with which it has no order by energy.
    """

    job: ComparedName
    profile: str
    energy: str
    latency: str
    area: str
    overlaps: str


@dataclass(frozen=True)
class VariantTable:
    """A variant at all times, in the jobs that have it.

    Attributes:
        variant: which network.
        points: in the order of time.
        jobs: that have it.
        others: those of them that are compared with the first of all jobs; none where that has not got it.
    """

    variant: str
    points: Sequence[ComparedPoint]
    jobs: Sequence[ComparedName]
    others: Sequence[ComparedName]


@dataclass(frozen=True)
class ComparePage:
    """What the page shows.

    Attributes:
        jobs: the first is what the others are compared with.
        metric: of all of them.
        tables: one for each variant.
        costs: of the jobs that name hardware.
        view: as the API has it.
    """

    jobs: Sequence[ComparedName]
    metric: str
    tables: Sequence[VariantTable]
    costs: Sequence[ComparedCosts]
    view: ComparisonView

    @property
    def has_waves(self) -> bool:
        """Whether what was found decided how many chips a job has."""
        return any(
            point.ci95_adaptive is not None for one in self.view.points for point in one.points.values()
        )

    @property
    def is_paired(self) -> bool:
        """Whether the differences are over equal chips."""
        return len({job.seed for job in self.jobs}) == 1


def compare_page(compared: Compared) -> ComparePage:
    """Return the page of a comparison."""
    view = compared.view()
    by_variant: dict[str, list[ComparedPoint]] = {}
    for point in view.points:
        by_variant.setdefault(point.variant, []).append(point)
    jobs = [
        ComparedName(job.id, index, chr(ord("A") + index), name_of(job), job.state, job.seed)
        for index, job in enumerate(compared.jobs)
    ]
    tables = [_table(variant, points, jobs) for variant, points in by_variant.items()]
    return ComparePage(jobs, view.metric, tables, list(_costs(view, jobs)), view)


def _costs(view: ComparisonView, jobs: Sequence[ComparedName]) -> Iterator[ComparedCosts]:
    letters = {job.id: job.letter for job in jobs}
    for job, found in zip(jobs, view.jobs, strict=True):
        cost = found.cost
        if cost is not None:
            yield ComparedCosts(
                job=job,
                profile=cost.profile,
                energy=band(cost.energy_j.model_dump(), "J"),
                latency=band(cost.latency_s.model_dump(), "s"),
                area="not priced" if cost.area_mm2 is None else band(cost.area_mm2.model_dump(), "mm²"),
                overlaps=", ".join(letters[other] for other in cost.overlaps),
            )


def _table(variant: str, points: Sequence[ComparedPoint], jobs: Sequence[ComparedName]) -> VariantTable:
    having = [job for job in jobs if any(job.id in point.points for point in points)]
    compared = {difference.job for point in points for difference in point.differences}
    return VariantTable(variant, points, having, [job for job in having if job.id in compared])

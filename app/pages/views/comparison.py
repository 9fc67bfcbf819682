"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.compare.schemas import ComparedPoint, ComparisonView
from app.compare.service import Compared
from app.pages.views.job_list import name_of


@dataclass(frozen=True)
class ComparedName:
    """A compared job: its letter stands for it in tables and legends."""

    id: str
    letter: str
    name: str
    state: str
    seed: int


@dataclass(frozen=True)
class ComparePage:
    """What the page shows.

    Attributes:
        jobs: the first is what the others are compared with.
        metric: of all of them.
        variants: with their points, in the order of time.
        view: as the API has it.
    """

    jobs: Sequence[ComparedName]
    metric: str
    variants: Sequence[tuple[str, Sequence[ComparedPoint]]]
    view: ComparisonView

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
        ComparedName(job.id, chr(ord("A") + index), name_of(job), job.state, job.seed)
        for index, job in enumerate(compared.jobs)
    ]
    return ComparePage(jobs, view.metric, list(by_variant.items()), view)

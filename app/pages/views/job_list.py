"""The list of jobs: each with its state in words, its headline numbers and a small curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup
from sqlalchemy.orm import Session

from app.db.tables import Job
from app.engine.specification import task_of
from app.engine.states import FINAL, JobState
from app.jobs.schemas import Progress
from app.jobs.views import progress
from app.pages import words
from app.pages.repository import CurvePoint, PageRepository
from app.pages.sparkline import sparkline
from app.pages.views.hardware import Hardware, hardware
from app.results.statistics import VARIANT_ORDER, student_t95
from simulator.config.datasets import builtin_datasets
from simulator.config.tasks import TASKS

LIGHT: Final = ("effective_config",)


@dataclass(frozen=True)
class Headline:
    """A variant's metric at the last time.

    Attributes:
        variant: which network.
        mean: of the metric over chips, in words.
        half: half the width of its 95 % interval, in words; None for one chip.
    """

    variant: str
    mean: str
    half: str | None


@dataclass(frozen=True)
class JobRow:
    """A job in the list."""

    id: str
    name: str
    tags: Sequence[str]
    state: str
    state_words: str
    progress: Progress
    model_id: str
    model: str
    dataset_id: str
    dataset: str
    hardware: Hardware
    last_time_s: float | None
    metric: str
    headlines: Sequence[Headline]
    curve: Markup | None
    created_at: Any

    @property
    def is_open(self) -> bool:
        """Whether its state will change."""
        return self.state not in FINAL


def job_rows(session: Session, jobs: Sequence[Job]) -> list[JobRow]:
    """Return jobs as the list shows them, with a handful of queries for all of them."""
    repository = PageRepository(session)
    ids = [job.id for job in jobs]
    models = repository.model_names({job.model_id for job in jobs})
    datasets = repository.dataset_names({job.dataset_id for job in jobs if job.dataset_id})
    digital = repository.digital(ids)
    points: dict[str, list[CurvePoint]] = {}
    for point in repository.curves(ids):
        points.setdefault(point.job_id, []).append(point)
    return [
        _row(
            job,
            model=models.get(job.model_id, "a deleted model"),
            dataset=dataset_name(job.dataset_ref, datasets),
            digital=digital.get(job.id),
            points=points.get(job.id, []),
        )
        for job in jobs
    ]


def dataset_name(ref: str, names: Mapping[str, str]) -> str:
    """Return what people call a dataset."""
    return ref.partition(":")[2] if ref in builtin_datasets() else names.get(ref, "a deleted dataset")


def name_of(job: Job) -> str:
    """Return the job's name, or one that is made of its id."""
    return job.name or f"job {job.id[-8:]}"


def state_words(job: Job, shown: Progress) -> str:
    """Return the state of a job in words."""
    if job.state == JobState.RUNNING:
        phase = words.PHASES.get(job.phase or "", "starting")
        left = "" if shown.eta_seconds is None else f", {words.about(shown.eta_seconds)} left"
        return f"{phase}, {100 * shown.fraction:.0f} %{left}"
    if job.state == JobState.FAILED and job.failure:
        return str(job.failure["code"]).replace("_", " ")
    if job.state == JobState.SUCCEEDED and job.started_at and job.finished_at:
        return f"in {words.about((job.finished_at - job.started_at).total_seconds()).removeprefix('about ')}"
    return {"queued": "waits for a worker", "cancelling": "stops its runners"}.get(job.state, "")


def _row(
    job: Job, *, model: str, dataset: str, digital: float | None, points: Sequence[CurvePoint]
) -> JobRow:
    metric = TASKS[task_of(job)].metric
    by_variant = {
        variant: [point for point in points if point.variant == variant] for variant in VARIANT_ORDER
    }
    last_time_s = max((point.t_inference for point in points), default=None)
    shown = progress(job)
    curves = {
        variant: [
            (point.t_inference, point.mean) for point in one if _is_known(point) and point.mean is not None
        ]
        for variant, one in by_variant.items()
    }
    return JobRow(
        id=job.id,
        name=name_of(job),
        tags=job.tags,
        state=job.state,
        state_words=state_words(job, shown),
        progress=shown,
        model_id=job.model_id,
        model=model,
        dataset_id=job.dataset_ref,
        dataset=dataset,
        hardware=hardware(job.spec),
        last_time_s=last_time_s,
        metric=metric,
        headlines=[
            _headline(point, metric)
            for one in by_variant.values()
            for point in one
            if point.t_inference == last_time_s
        ],
        curve=sparkline(
            {variant: curve for variant, curve in curves.items() if curve},
            digital,
            f"{metric} over time of {', '.join(variant for variant, one in curves.items() if one)}",
        ),
        created_at=job.created_at,
    )


def _is_known(point: CurvePoint) -> bool:
    return point.finite == point.chips


def _headline(point: CurvePoint, metric: str) -> Headline:
    if not _is_known(point) or point.mean is None or point.mean_square is None:
        return Headline(point.variant, words.metric(None, metric), None)
    half = None
    if point.chips > 1:
        variance = max(0.0, point.mean_square - point.mean**2) * point.chips / (point.chips - 1)
        size = student_t95(point.chips - 1) * math.sqrt(variance / point.chips)
        half = f"{100 * size:.1f}" if metric == "accuracy" else f"{size:.2g}"
    return Headline(point.variant, words.metric(point.mean, metric), half)

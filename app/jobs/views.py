"""Rows as the API shows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import attrgetter
from typing import Any

from app.db.tables import Artifact, Epoch, Event, Job
from app.engine.states import FINAL, JobState
from app.jobs.repository import JobMark
from app.jobs.schemas import (
    ArtifactsView,
    ArtifactView,
    EpochView,
    EventView,
    FailureView,
    HistoryView,
    JobView,
    Links,
    Progress,
    QueueView,
)
from app.kit.etag import etag_of


def has_ended(job: Job | JobMark) -> bool:
    """Return whether the job's state is final."""
    return job.state in FINAL


def version_tag(job: Job | JobMark, *representation: str) -> str:
    """Return the entity tag of the job's present version, in one representation."""
    return etag_of("|".join((job.id, str(job.version), *representation)))


def job_view(job: Job, queue: QueueView | None = None) -> JobView:
    """Return the job as JSON shows it, with what it waits for."""
    return JobView(**{name: read(job) for name, read in _FIELDS.items()}, queue=queue)


def job_tag(job: Job | JobMark, queue: QueueView | None) -> str:
    """Return the entity tag of the job with its progress and what it waits for."""
    waits = () if queue is None else (queue.model_dump_json(),)
    return version_tag(job, str(job.progress_done), *waits)


def job_fields(job: Job, fields: Collection[str]) -> dict[str, Any]:
    """Return some fields of the job as JSON shows them; the others are not looked at."""
    shown = {name: read(job) for name, read in _FIELDS.items() if name in fields}
    if "queue" in fields:
        shown["queue"] = None
    return JobView.model_construct(**shown).model_dump(mode="json", include=set(shown))


def _links(job: Job) -> Links:
    base = f"/v1/jobs/{job.id}"
    return Links(
        self=base,
        results=f"{base}/results",
        summary=f"{base}/summary",
        lifetime=f"{base}/lifetime",
        report=f"{base}/report",
        history=f"{base}/history",
        analyses=f"{base}/analyses",
        events=f"{base}/events",
        artifacts=f"{base}/artifacts",
        cost=f"{base}/cost",
    )


def progress(job: Job) -> Progress:
    """Return how far the job is."""
    fraction = job.progress_done / job.progress_total if job.progress_total else 0.0
    eta = None
    if job.state == JobState.RUNNING and job.started_at and job.progressed_at and fraction > 0:
        elapsed = (job.progressed_at - job.started_at).total_seconds()
        eta = max(0.0, elapsed * (1 - fraction) / fraction)
    return Progress(
        done=job.progress_done, total=job.progress_total, fraction=min(1.0, fraction), eta_seconds=eta
    )


_FIELDS: dict[str, Callable[[Job], Any]] = {
    **{name: attrgetter(name) for name in JobView.model_fields if name != "queue"},
    "state": lambda job: JobState(job.state),
    "progress": progress,
    "failure": lambda job: None if job.failure is None else FailureView.model_validate(job.failure),
    "links": _links,
}


def event_view(event: Event) -> EventView:
    """Return the event as JSON shows it."""
    return EventView.model_validate(event, from_attributes=True)


def history_view(job: Job, epochs: Sequence[Epoch]) -> HistoryView:
    """Return the epochs as JSON shows them."""
    return HistoryView(
        job=job.id, epochs=[EpochView.model_validate(epoch, from_attributes=True) for epoch in epochs]
    )


REPORT = "report.html"  # rendered when it is read


def artifacts_view(job: Job, artifacts: Sequence[Artifact]) -> ArtifactsView:
    """Return the files as JSON shows them, the report last."""
    items = [
        ArtifactView(
            name=one.name,
            media_type=one.media_type,
            size_bytes=one.size_bytes,
            sha256=one.sha256,
            created_at=one.created_at,
            url=f"/v1/jobs/{job.id}/artifacts/{one.name}",
        )
        for one in artifacts
    ]
    report = ArtifactView(
        name=REPORT,
        media_type="text/html",
        size_bytes=None,
        sha256=None,
        created_at=job.created_at,
        url=f"/v1/jobs/{job.id}/artifacts/{REPORT}",
    )
    return ArtifactsView(job=job.id, items=[*items, report])

"""Job states, and the one door through which a job changes.

Whoever changes a job or one of its items first locks the job's row (`lock`): on PostgreSQL the row, on SQLite
the whole database. So changes of one job come one after another, events get their numbers in order, and a
reader of the lock's holder sees nothing half done.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Event, Job
from app.db.types import utc_now
from app.engine.webhooks.outbox import announce


class JobState(StrEnum):
    """The states of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """The states of a work item; `blocked` waits for other items of its job."""

    BLOCKED = "blocked"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

_ALLOWED: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.FAILED}),
    JobState.RUNNING: FINAL | {JobState.CANCELLING},
    JobState.CANCELLING: FINAL,
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class TransitionError(Exception):
    """The job cannot move from its state to the wanted one."""


def lock(session: Session, job_id: str) -> Job | None:
    """Lock the job against all other changes until the transaction ends, and return it as it is now."""
    query = select(Job).where(Job.id == job_id).with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def record(session: Session, job: Job, event_type: str, data: dict[str, Any] | None = None) -> None:
    """Append an event to a locked job; its number is the job's new version."""
    job.version += 1
    session.add(Event(job_id=job.id, seq=job.version, type=event_type, data=data or {}))


def warn(session: Session, job: Job, *, pointer: str, code: str, message: str) -> None:
    """Add a warning to a locked job, once."""
    warning = {"pointer": pointer, "code": code, "message": message}
    if warning not in job.warnings:
        job.warnings = [*job.warnings, warning]
        record(session, job, "job.warning", warning)


def move(session: Session, job: Job, to: JobState, *, failure: dict[str, Any] | None = None) -> None:
    """Move a locked job to another state: the only place where a job's state is written.

    Raises:
        TransitionError: the state does not lead there; final states lead nowhere.
    """
    if to not in _ALLOWED[JobState(job.state)]:
        raise TransitionError(f"job {job.id} is {job.state} and cannot become {to}")
    job.state = to
    now = utc_now()
    if to is JobState.RUNNING:
        job.started_at = now
    if to in FINAL:
        job.finished_at = now
        job.phase = None
    data: dict[str, Any] = {}
    if failure is not None:
        job.failure = failure
        data["failure"] = failure
    record(session, job, f"job.{to}", data)
    announce(session, job)

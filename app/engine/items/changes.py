"""What a change of a work item means for its job; the job is locked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Job, WorkItem
from app.db.types import utc_now
from app.engine import turns
from app.engine.states import ItemState, JobState, move, record

OPEN = (ItemState.BLOCKED, ItemState.QUEUED)


@dataclass(frozen=True)
class Failure:
    """Why an item failed.

    Attributes:
        code: a documented code, such as `out_of_memory`.
        message: what happened and what to do.
        retryable: whether the same job may succeed when it is tried again.
    """

    code: str
    message: str
    retryable: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the failure as the API shows it."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


def items_of_job(session: Session, job_id: str) -> Sequence[WorkItem]:
    """Return the job's items, in the order of their ids."""
    return session.scalars(select(WorkItem).where(WorkItem.job_id == job_id).order_by(WorkItem.id)).all()


def end(item: WorkItem, state: ItemState) -> None:
    """End an item; nobody holds it any more."""
    item.state = state
    item.lease_owner = None
    item.lease_expires_s = None
    item.finished_at = utc_now()


def requeue(session: Session, job: Job, item: WorkItem, *, reason: str) -> None:
    """Give an item back to the queue, or end it where its job is being cancelled."""
    turns.correct(session, job, item)
    if job.state == JobState.CANCELLING:
        end(item, ItemState.CANCELLED)
        session.flush()
        settle_cancelling(session, job, items_of_job(session, job.id))
        return
    item.state = ItemState.QUEUED
    item.lease_owner = None
    item.lease_expires_s = None
    item.rung_at_s = 0.0
    record(session, job, "item.requeued", {"item": item.key, "reason": reason, "attempt": item.attempt + 1})


def spend_attempt(session: Session, job: Job, item: WorkItem, failure: Failure, max_attempts: int) -> None:
    """Give an item back after an attempt that failed; one too many without progress fails the job."""
    item.attempt += 1
    item.barren_attempts += 1
    if item.barren_attempts >= max_attempts and job.state != JobState.CANCELLING:
        fail_job(session, job, item, failure)
        return
    job.attempt = max(job.attempt, item.attempt + 1)
    requeue(session, job, item, reason=failure.code)


def fail_job(session: Session, job: Job, item: WorkItem, failure: Failure) -> None:
    """Fail an item, and with it the job; its other items end."""
    item.failure = failure.as_json()
    turns.correct(session, job, item)
    end(item, ItemState.FAILED)
    for other in items_of_job(session, job.id):
        if other.state in (*OPEN, ItemState.RUNNING):
            turns.correct(session, job, other)
            end(other, ItemState.CANCELLED)  # running ones notice at their next write or look
    move(session, job, JobState.FAILED, failure={**failure.as_json(), "item": item.key})


def settle_cancelling(session: Session, job: Job, items: Sequence[WorkItem]) -> None:
    """End a job that is being cancelled, if none of its items runs any more."""
    if not any(item.state == ItemState.RUNNING for item in items):
        move(session, job, JobState.CANCELLED)

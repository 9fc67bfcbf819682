"""The ways in which a work item ends, or goes back to the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from app.db.session import database_time_s
from app.db.tables import Job, WorkItem
from app.engine import turns
from app.engine.abilities import required
from app.engine.items.changes import (
    OPEN,
    Failure,
    end,
    fail_job,
    items_of_job,
    requeue,
    settle_cancelling,
    spend_attempt,
)
from app.engine.items.leases import Lease, hold, made_progress, set_progress
from app.engine.states import ItemState, JobState, move, record

NextRound = Callable[[Session, Job], Sequence[WorkItem]]


def succeed(session: Session, lease: Lease, *, next_round: NextRound) -> list[str]:
    """Finish the item; return the keys of the items that became claimable.

    Args:
        session: of a transaction.
        lease: of the item.
        next_round: says what follows when it was the last one; `app.engine.kinds.next_round`.
    """
    job, item = hold(session, lease)
    set_progress(job, item, item.progress_total)
    made_progress(item)
    turns.correct(session, job, item)
    end(item, ItemState.SUCCEEDED)
    record(session, job, "item.succeeded", {"item": item.key})
    session.flush()
    items = items_of_job(session, job.id)
    if all(other.state == ItemState.SUCCEEDED for other in items):
        return end_round(session, job, next_round)
    if job.state == JobState.CANCELLING:
        settle_cancelling(session, job, items)
        return []
    done = {other.key for other in items if other.state == ItemState.SUCCEEDED}
    ready = [o for o in items if o.state == ItemState.BLOCKED and done.issuperset(o.needs)]
    for other in ready:
        other.state = ItemState.QUEUED
    return [other.key for other in ready]


def end_round(session: Session, job: Job, next_round: NextRound) -> list[str]:
    """End a locked job whose items have all succeeded, or begin its next round.

    Returns:
        The keys of the items that became claimable.
    """
    more = next_round(session, job)
    if not more:
        move(session, job, JobState.SUCCEEDED)
        return []
    if job.state == JobState.CANCELLING:
        move(session, job, JobState.CANCELLED)
        return []
    for item in more:
        item.job_id, item.priority, item.requires = job.id, job.priority, required(job)
    session.add_all(more)
    job.progress_total += sum(item.progress_total for item in more)
    job.progress_done += sum(item.progress_done or 0 for item in more)
    job.left_s = turns.left_s(job)
    record(session, job, "job.round", {"items": [item.key for item in more]})
    if all(item.state == ItemState.SUCCEEDED for item in more):  # earlier jobs have computed all of it
        session.flush()
        return end_round(session, job, next_round)
    return [item.key for item in more if item.state == ItemState.QUEUED]


def fail(session: Session, lease: Lease, failure: Failure) -> None:
    """Fail the item and with it the job, for a reason that another attempt would meet again."""
    job, item = hold(session, lease)
    fail_job(session, job, item, failure)


def release(session: Session, lease: Lease, *, reason: str = "worker_shutdown") -> None:
    """Give the item back untouched, for a reason that is the worker's; no attempt is spent."""
    job, item = hold(session, lease)
    requeue(session, job, item, reason=reason)


def compute_again(session: Session, lease: Lease, source_key: str) -> None:
    """Queue another item of the job again, because its result is gone; this item waits for it.

    Equal seeds give equal numbers, so nothing but time is lost.
    """
    job, item = hold(session, lease)
    for other in items_of_job(session, job.id):
        if other.key == source_key and other.state == ItemState.SUCCEEDED:
            other.state = ItemState.QUEUED
            other.checkpoint, other.finished_at, other.rung_at_s = None, None, 0.0
            set_progress(job, other, 0)
            record(session, job, "item.requeued", {"item": other.key, "reason": "blob_missing", "attempt": 1})
    requeue(session, job, item, reason="blob_missing")
    if item.state == ItemState.QUEUED:
        item.state = ItemState.BLOCKED
        item.needs = sorted({*item.needs, source_key})


def crash(session: Session, lease: Lease, failure: Failure, *, max_attempts: int) -> None:
    """Give the item back after its runner died; the last attempt fails the job."""
    job, item = hold(session, lease)
    spend_attempt(session, job, item, failure, max_attempts)


def stopped(session: Session, lease: Lease) -> None:
    """Record that the item's runner has stopped because the job is being cancelled."""
    job, item = hold(session, lease)
    turns.correct(session, job, item)
    end(item, ItemState.CANCELLED)
    session.flush()
    if job.state == JobState.CANCELLING:
        settle_cancelling(session, job, items_of_job(session, job.id))


def cancel(session: Session, job: Job) -> None:
    """Cancel a locked job that has not ended: at once when nothing runs, else as soon as its runners stop."""
    items = items_of_job(session, job.id)
    now_s = database_time_s(session)
    for item in items:
        is_lost = item.state == ItemState.RUNNING and (item.lease_expires_s or 0.0) < now_s
        if item.state in OPEN or is_lost:
            end(item, ItemState.CANCELLED)
    if job.state == JobState.QUEUED:
        move(session, job, JobState.CANCELLED)
        return
    move(session, job, JobState.CANCELLING)
    settle_cancelling(session, job, items)

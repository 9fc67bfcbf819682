"""The queue of record: work items claimed by compare-and-set, held by a lease with a fencing token.

A worker that claims an item gets a `Lease`. Its token grows with every claim, so a worker that lost its
lease (it hung, or was thought dead) can write nothing more: every write first holds the lease.
Times are the database's, never a worker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, and_, select, update
from sqlalchemy.orm import Session

from app.db.tables import Job, WorkItem
from app.db.types import database_now_s, utc_now
from app.jobs.states import FINAL, ItemState, JobState, lock, move, record

_CANDIDATES = 16
_IN_TURN = (WorkItem.priority.desc(), WorkItem.id)
_OPEN = (ItemState.BLOCKED, ItemState.QUEUED)


class LeaseLost(Exception):  # noqa: N818 - a fact that the holder has to act on, not a fault
    """The item is no longer the worker's: another took it, or its job has ended."""


@dataclass(frozen=True)
class Lease:
    """A claim on a work item."""

    item_id: str
    job_id: str
    key: str
    kind: str
    payload: dict[str, Any]
    token: int
    attempt: int


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


def claim(session: Session, *, owner: str, lease_s: float, job_id: str | None = None) -> Lease | None:
    """Claim the first queued item by priority and age, or return None when nothing is to be done."""
    query = (
        select(WorkItem.id, WorkItem.job_id)
        .where(WorkItem.state == ItemState.QUEUED)
        .order_by(*_IN_TURN)
        .limit(_CANDIDATES)
    )
    if job_id is not None:
        query = query.where(WorkItem.job_id == job_id)
    for candidate_id, candidate_job_id in session.execute(query).all():
        job = lock(session, candidate_job_id)
        item = session.get(WorkItem, candidate_id, populate_existing=True)
        if job is None or item is None or item.state != ItemState.QUEUED:
            continue  # another worker was faster
        if job.state not in (JobState.QUEUED, JobState.RUNNING):
            continue
        item.state = ItemState.RUNNING
        item.lease_token += 1
        item.lease_owner = owner
        item.lease_expires_s = database_time_s(session) + lease_s
        item.started_at = utc_now()
        if job.state == JobState.QUEUED:
            move(session, job, JobState.RUNNING)
        job.phase = item.kind
        record(session, job, "item.started", {"item": item.key, "attempt": item.attempt + 1})
        session.flush()
        return Lease(
            item.id, item.job_id, item.key, item.kind, item.payload, item.lease_token, item.attempt + 1
        )
    return None


def take_over(session: Session, lease: Lease) -> tuple[list[list[int]], int]:
    """Let an evaluation item go on with the chip instances of the next item, if that is such a one.

    The next item is the one that `claim` would give, if it evaluates the same variant of the same job. A
    runner that has all loaded saves its start. What was taken over is in the item's payload, so another
    attempt at it goes on with that, too.

    Returns:
        Ranges of chip instances, and how far they are in sample-forwards; none when nothing is taken over.
    """
    job, item = hold(session, lease)
    query = select(WorkItem).where(WorkItem.state == ItemState.QUEUED).order_by(*_IN_TURN).limit(1)
    other = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if (
        other is None
        or other.job_id != job.id
        or job.state != JobState.RUNNING
        or (other.kind, other.payload.get("variant")) != (item.kind, item.payload.get("variant"))
    ):
        return [], 0
    ranges = repeats_of(other.payload)
    done = other.progress_done
    item.payload = {**item.payload, "taken_over": [*item.payload.get("taken_over", []), *ranges]}
    item.progress_total += other.progress_total
    item.progress_done += done
    other.progress_total = other.progress_done = 0
    _end(other, ItemState.SUCCEEDED)
    record(session, job, "item.succeeded", {"item": other.key, "taken_over_by": item.key})
    return ranges, done


def repeats_of(payload: dict[str, Any]) -> list[list[int]]:
    """Return the ranges of chip instances of an evaluation item: its own, and what it took over."""
    return [payload["repeats"], *payload.get("taken_over", [])]


def renew(session: Session, lease: Lease, *, lease_s: float) -> bool:
    """Renew the lease; return False when it is lost."""
    statement = (
        update(WorkItem)
        .where(
            WorkItem.id == lease.item_id,
            WorkItem.lease_token == lease.token,
            WorkItem.state == ItemState.RUNNING,
        )
        .values(lease_expires_s=database_now_s() + lease_s)
        .execution_options(synchronize_session=False)
    )
    result = session.execute(statement)
    assert isinstance(result, CursorResult)  # noqa: S101 - narrows the type; an UPDATE has a cursor
    return result.rowcount == 1


def hold(session: Session, lease: Lease) -> tuple[Job, WorkItem]:
    """Lock the job and check that the lease still stands: the fence before every write of a worker.

    Raises:
        LeaseLost: the item was given to another worker or its job has ended.
    """
    job = lock(session, lease.job_id)
    item = session.get(WorkItem, lease.item_id, populate_existing=True)
    if (
        job is None
        or item is None
        or item.lease_token != lease.token
        or item.state != ItemState.RUNNING
        or job.state in FINAL
    ):
        raise LeaseLost(f"work item {lease.key} of job {lease.job_id} is no longer this worker's")
    return job, item


def stop_requested(session: Session, lease: Lease) -> bool:
    """Tell whether the item's runner should stop: its job is being cancelled, or the lease is lost."""
    query = (
        select(Job.state)
        .join(WorkItem, WorkItem.job_id == Job.id)
        .where(
            WorkItem.id == lease.item_id,
            WorkItem.lease_token == lease.token,
            WorkItem.state == ItemState.RUNNING,
        )
    )
    state = session.scalars(query).one_or_none()
    return state is None or state == JobState.CANCELLING or state in FINAL


def set_progress(job: Job, item: WorkItem, done: int) -> None:
    """Set the item's progress, in sample-forwards, and the job's with it; a held job's version grows."""
    job.progress_done += done - item.progress_done
    item.progress_done = done
    job.progressed_at = utc_now()
    job.version += 1


def succeed(session: Session, lease: Lease) -> list[str]:
    """Finish the item; return the keys of the items that became claimable."""
    job, item = hold(session, lease)
    set_progress(job, item, item.progress_total)
    _end(item, ItemState.SUCCEEDED)
    record(session, job, "item.succeeded", {"item": item.key})
    session.flush()
    items = _items(session, job.id)
    if all(other.state == ItemState.SUCCEEDED for other in items):
        move(session, job, JobState.SUCCEEDED)
        return []
    if job.state == JobState.CANCELLING:
        _settle_cancelling(session, job, items)
        return []
    done = {other.key for other in items if other.state == ItemState.SUCCEEDED}
    ready = [o for o in items if o.state == ItemState.BLOCKED and done.issuperset(o.needs)]
    for other in ready:
        other.state = ItemState.QUEUED
    return [other.key for other in ready]


def fail(session: Session, lease: Lease, failure: Failure) -> None:
    """Fail the item and with it the job, for a reason that another attempt would meet again."""
    job, item = hold(session, lease)
    _fail(session, job, item, failure)


def release(session: Session, lease: Lease) -> None:
    """Give the item back untouched, because the worker shuts down; no attempt is spent."""
    job, item = hold(session, lease)
    _requeue(session, job, item, reason="worker_shutdown")


def crash(session: Session, lease: Lease, failure: Failure, *, max_attempts: int) -> None:
    """Give the item back after its runner died; the last attempt fails the job."""
    job, item = hold(session, lease)
    _spend_attempt(session, job, item, failure, max_attempts)


def stopped(session: Session, lease: Lease) -> None:
    """Note that the item's runner has stopped because the job is being cancelled."""
    job, item = hold(session, lease)
    _end(item, ItemState.CANCELLED)
    session.flush()
    if job.state == JobState.CANCELLING:
        _settle_cancelling(session, job, _items(session, job.id))


def cancel(session: Session, job: Job) -> None:
    """Cancel a locked job that has not ended: at once when nothing runs, else as soon as its runners stop."""
    items = _items(session, job.id)
    for item in items:
        if item.state in _OPEN:
            _end(item, ItemState.CANCELLED)
    if job.state == JobState.QUEUED:
        move(session, job, JobState.CANCELLED)
        return
    move(session, job, JobState.CANCELLING)
    _settle_cancelling(session, job, items)


def reap(session: Session, *, max_attempts: int) -> list[str]:
    """Take back the items whose lease ran out; return the ids of their jobs."""
    expired = and_(WorkItem.state == ItemState.RUNNING, WorkItem.lease_expires_s < database_now_s())
    rows = session.execute(select(WorkItem.id, WorkItem.job_id).where(expired)).all()
    jobs = []
    for item_id, job_id in sorted(rows, key=lambda row: row.job_id):
        job = lock(session, job_id)
        item = session.scalars(
            select(WorkItem).where(WorkItem.id == item_id, expired).execution_options(populate_existing=True)
        ).one_or_none()
        if job is None or item is None:
            continue  # renewed or taken back meanwhile
        if job.state in FINAL or job.state == JobState.CANCELLING:
            _end(item, ItemState.CANCELLED)
            session.flush()
            if job.state == JobState.CANCELLING:
                _settle_cancelling(session, job, _items(session, job.id))
            continue
        lost = Failure("worker_lost", "the worker went silent, more than once; retry the job", retryable=True)
        _spend_attempt(session, job, item, lost, max_attempts)
        jobs.append(job_id)
    return jobs


def unrung(session: Session, *, older_than_s: float) -> list[str]:
    """Return the jobs of queued items whose bell has not rung lately, one entry an item; note the ringing."""
    now = database_time_s(session)
    rows = session.execute(
        select(WorkItem.id, WorkItem.job_id)
        .where(WorkItem.state == ItemState.QUEUED, WorkItem.rung_at_s < now - older_than_s)
        .order_by(*_IN_TURN)
        .limit(1000)
    ).all()
    if rows:
        session.execute(
            update(WorkItem)
            .where(WorkItem.id.in_([row.id for row in rows]))
            .values(rung_at_s=now)
            .execution_options(synchronize_session=False)
        )
    return [row.job_id for row in rows]


def database_time_s(session: Session) -> float:
    """Return the database's clock: seconds since 1970."""
    return float(session.scalars(select(database_now_s())).one())


def _items(session: Session, job_id: str) -> Sequence[WorkItem]:
    return session.scalars(select(WorkItem).where(WorkItem.job_id == job_id).order_by(WorkItem.id)).all()


def _end(item: WorkItem, state: ItemState) -> None:
    item.state = state
    item.lease_owner = None
    item.lease_expires_s = None
    item.finished_at = utc_now()


def _requeue(session: Session, job: Job, item: WorkItem, *, reason: str) -> None:
    if job.state == JobState.CANCELLING:
        _end(item, ItemState.CANCELLED)
        session.flush()
        _settle_cancelling(session, job, _items(session, job.id))
        return
    item.state = ItemState.QUEUED
    item.lease_owner = None
    item.lease_expires_s = None
    item.rung_at_s = 0.0
    record(session, job, "item.requeued", {"item": item.key, "reason": reason, "attempt": item.attempt + 1})


def _spend_attempt(session: Session, job: Job, item: WorkItem, failure: Failure, max_attempts: int) -> None:
    item.attempt += 1
    if item.attempt >= max_attempts and job.state != JobState.CANCELLING:
        _fail(session, job, item, failure)
        return
    job.attempt = max(job.attempt, item.attempt + 1)
    _requeue(session, job, item, reason=failure.code)


def _fail(session: Session, job: Job, item: WorkItem, failure: Failure) -> None:
    item.failure = failure.as_json()
    _end(item, ItemState.FAILED)
    for other in _items(session, job.id):
        if other.state in (*_OPEN, ItemState.RUNNING):
            _end(other, ItemState.CANCELLED)  # running ones notice at their next write or look
    move(session, job, JobState.FAILED, failure={**failure.as_json(), "item": item.key})


def _settle_cancelling(session: Session, job: Job, items: Sequence[WorkItem]) -> None:
    if not any(item.state == ItemState.RUNNING for item in items):
        move(session, job, JobState.CANCELLED)

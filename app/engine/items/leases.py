"""The lease of a work item, which is the fence before every write of a worker.

Its token grows with every claim, so a worker that lost its lease (it hung, or was thought dead) can write
nothing more: every write first holds the lease.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from app.db.tables import Job, WorkItem
from app.db.types import database_now_s, utc_now
from app.engine.states import FINAL, ItemState, JobState, lock


class LeaseLost(Exception):  # noqa: N818 - a fact that the holder has to act on, not a fault
    """The item is no longer the worker's: another took it, or its job has ended."""


@dataclass(frozen=True)
class Lease:
    """A claim on a work item; `origin` says where its job comes from, for logs and traces."""

    item_id: str
    job_id: str
    key: str
    kind: str
    payload: dict[str, Any]
    token: int
    attempt: int
    origin: dict[str, str] = field(default_factory=dict)


def lease_of(item: WorkItem, job: Job) -> Lease:
    """Return the lease that an item's owner has."""
    return Lease(
        item_id=item.id,
        job_id=item.job_id,
        key=item.key,
        kind=item.kind,
        payload=item.payload,
        token=item.lease_token,
        attempt=item.attempt + 1,
        origin=job.origin or {},
    )


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


def has_succeeded(session: Session, lease: Lease) -> bool:
    """Return whether the item has succeeded under this lease."""
    query = select(WorkItem.id).where(
        WorkItem.id == lease.item_id,
        WorkItem.lease_token == lease.token,
        WorkItem.state == ItemState.SUCCEEDED,
    )
    return session.scalars(query).one_or_none() is not None


def state_under(session: Session, lease: Lease) -> ItemState | None:
    """Return the item's state; None when it was given to another worker meanwhile."""
    query = select(WorkItem.state).where(WorkItem.id == lease.item_id, WorkItem.lease_token == lease.token)
    state = session.scalars(query).one_or_none()
    return None if state is None else ItemState(state)


def stop_requested(session: Session, lease: Lease) -> bool:
    """Return whether the item's runner should stop: its job is being cancelled, or the lease is lost."""
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


# --- signs of life, and progress ----------------------------------------------------------------------------


def record_sign_of_life(item: WorkItem) -> None:
    """Record a sign of life of the item's runner."""
    item.heard_at_s = database_now_s()  # the database puts its clock there


def is_silent(session: Session, lease: Lease, *, for_s: float) -> bool:
    """Return whether the item's runner has given no sign of life for this long."""
    query = select(WorkItem.id).where(
        WorkItem.id == lease.item_id,
        WorkItem.lease_token == lease.token,
        WorkItem.state == ItemState.RUNNING,
        WorkItem.heard_at_s < database_now_s() - for_s,
    )
    return session.scalars(query).one_or_none() is not None


def set_progress(job: Job, item: WorkItem, done: int) -> None:
    """Set a held item's progress, in sample-forwards, and the job's with it.

    The job's version stays, since it counts what lasts; those who wait for it are not woken twice a second.
    """
    job.progress_done += done - item.progress_done
    item.progress_done = done
    job.progressed_at = utc_now()
    record_sign_of_life(item)


def made_progress(item: WorkItem) -> None:
    """Start the count of attempts without progress anew, since the item has found something that lasts."""
    item.barren_attempts = 0

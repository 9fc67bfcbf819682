"""Which item a worker gets, and when a running one should make room for another."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.session import database_time_s
from app.db.tables import Job, Worker, WorkItem
from app.db.types import utc_now
from app.engine import turns
from app.engine.items.leases import Lease, lease_of
from app.engine.states import ItemState, JobState, lock, move, record


def claim(
    session: Session,
    *,
    owner: str,
    lease_s: float,
    able: Collection[str] | None = None,
    job_id: str | None = None,
) -> Lease | None:
    """Claim the item whose turn it is (`app.engine.turns`); return None when there is none.

    At most one job is locked at a time, so that no two claims wait for each other.

    Args:
        session: of a transaction that does nothing else.
        owner: the worker.
        lease_s: how long the claim holds without renewal.
        able: what the worker is able to do, as items require it; None: anything.
        job_id: the job of the item; None is any.
    """
    jobs = (turn.job_id for turn in turns.in_turn(session, able)) if job_id is None else iter((job_id,))
    for candidate_job_id in jobs:
        for candidate_id in turns.items_of(session, candidate_job_id, able):
            attempt = session.begin_nested()  # rolled back, it gives the lock back
            job = lock(session, candidate_job_id)
            item = session.get(WorkItem, candidate_id, populate_existing=True)
            if (
                job is None
                or item is None
                or item.state != ItemState.QUEUED
                or job.state not in (JobState.QUEUED, JobState.RUNNING)
            ):
                attempt.rollback()  # another worker was faster
                continue
            _take(session, job, item, owner=owner, lease_s=lease_s)
            attempt.commit()
            return lease_of(item, job)
    return None


def _take(session: Session, job: Job, item: WorkItem, *, owner: str, lease_s: float) -> None:
    turns.charge(session, job, item)
    item.state = ItemState.RUNNING
    item.lease_token += 1
    item.lease_owner = owner
    now_s = database_time_s(session)
    item.lease_expires_s, item.heard_at_s = now_s + lease_s, now_s
    item.started_at = utc_now()
    if job.state == JobState.QUEUED:
        move(session, job, JobState.RUNNING)
    job.phase = item.kind
    record(session, job, "item.started", {"item": item.key, "attempt": item.attempt + 1})


def unheld(session: Session, *, owner: str, held: Collection[str]) -> Lease | None:
    """Return the lease of an item that the worker owns and does not work on; None when there is none.

    A claim whose commit was answered by a broken connection is found again like this.
    """
    query = (
        select(WorkItem, Job)
        .join(Job, Job.id == WorkItem.job_id)
        .where(WorkItem.state == ItemState.RUNNING, WorkItem.lease_owner == owner)
    )
    return next((lease_of(item, job) for item, job in session.execute(query) if item.id not in held), None)


def gives_way(session: Session, lease: Lease) -> bool:
    """Return whether an item should stop where it is, since a job of which nothing was begun comes first."""
    job, item = session.get(Job, lease.job_id), session.get(WorkItem, lease.item_id)
    if job is None or item is None:
        return False
    worker = session.get(Worker, item.lease_owner) if item.lease_owner is not None else None
    able = [item.requires] if worker is None else worker.able
    return turns.newcomer_before(session, job, able) is not None

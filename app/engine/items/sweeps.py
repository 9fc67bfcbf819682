"""What workers lost, and what nobody was told of: found by looking at all items, every few seconds."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from app.db.session import database_time_s
from app.db.tables import Worker, WorkItem
from app.db.types import database_now_s
from app.engine.items.changes import Failure, end, items_of_job, settle_cancelling, spend_attempt
from app.engine.states import FINAL, ItemState, JobState, lock

_MOST_COUNTED = 16
_IN_TURN = (WorkItem.priority.desc(), WorkItem.id)


def expired(session: Session, *, spared_owner: str | None = None) -> list[tuple[str, str]]:
    """Return (job, item) ids of the items whose lease ran out, but for those of one worker.

    A worker spares its own: when it was suspended with the machine, it renews them as soon as it goes on.
    """
    query = select(WorkItem.job_id, WorkItem.id).where(_has_expired()).order_by(WorkItem.job_id, WorkItem.id)
    if spared_owner is not None:
        query = query.where(WorkItem.lease_owner != spared_owner)
    return [(row.job_id, row.id) for row in session.execute(query)]


def reap(session: Session, job_id: str, item_id: str, *, max_attempts: int) -> bool:
    """Take back an item whose lease ran out; return whether it had. One a transaction: it locks the job."""
    job = lock(session, job_id)
    query = select(WorkItem).where(WorkItem.id == item_id, _has_expired())
    item = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if job is None or item is None:
        return False  # renewed or taken back meanwhile
    if job.state in FINAL or job.state == JobState.CANCELLING:
        end(item, ItemState.CANCELLED)
        session.flush()
        if job.state == JobState.CANCELLING:
            settle_cancelling(session, job, items_of_job(session, job.id))
        return True
    lost = Failure("worker_lost", "the worker went silent, more than once; retry the job", retryable=True)
    spend_attempt(session, job, item, lost, max_attempts)
    return True


def _has_expired() -> ColumnElement[bool]:
    return and_(WorkItem.state == ItemState.RUNNING, WorkItem.lease_expires_s < database_now_s())


def unrung(session: Session, *, older_than_s: float, most: int) -> list[str]:
    """Return the jobs of queued items without a recent message, one entry an item; record the new message.

    Args:
        session: of a transaction.
        older_than_s: a message is recent for so long.
        most: how many, which are the free slots: a busy worker claims the next item without a message, and
            messages that nobody takes would pile up in the broker.
    """
    now = database_time_s(session)
    rows = session.execute(
        select(WorkItem.id, WorkItem.job_id)
        .where(WorkItem.state == ItemState.QUEUED, WorkItem.rung_at_s < now - older_than_s)
        .order_by(*_IN_TURN)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        session.execute(
            update(WorkItem)
            .where(WorkItem.id.in_([row.id for row in rows]))
            .values(rung_at_s=now)
            .execution_options(synchronize_session=False)
        )
    return [row.job_id for row in rows]


def free_slots(session: Session, *, silence_s: float) -> int:
    """Return how many more items the workers could do that take work, and were not silent for so long."""
    alive = select(Worker.id, Worker.concurrency).where(
        Worker.heartbeat_at_s > database_now_s() - silence_s, Worker.idle_reason.is_(None)
    )
    running = select(WorkItem.lease_owner, func.count()).where(WorkItem.state == ItemState.RUNNING)
    held = dict(session.execute(running.group_by(WorkItem.lease_owner)).all())
    return sum(max(0, row.concurrency - held.get(row.id, 0)) for row in session.execute(alive))


def count_waiting(session: Session, able: Collection[str]) -> int:
    """Return how many items wait for a worker of these abilities, up to a limit."""
    waiting = select(WorkItem.id).where(WorkItem.state == ItemState.QUEUED, WorkItem.requires.in_(able))
    return len(session.scalars(waiting.limit(_MOST_COUNTED)).all())

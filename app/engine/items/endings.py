"""The queue of record: work items claimed by compare-and-set, held by a lease with a fencing token.

A worker that claims an item gets a `Lease`. Its token grows with every claim, so a worker that lost its
lease (it hung, or was thought dead) can write nothing more: every write first holds the lease.
Times are the database's, never a worker's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, and_, select, update
from sqlalchemy.orm import Session

from app.db.tables import Job, Worker, WorkItem
from app.db.types import database_now_s, utc_now
from app.engine import turns
from app.engine.abilities import required
from app.engine.states import FINAL, ItemState, JobState, lock, move, record

_CANDIDATES = 16
_IN_TURN = (WorkItem.priority.desc(), WorkItem.id)
_OPEN = (ItemState.BLOCKED, ItemState.QUEUED)


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
            return _lease_of(item, job)
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
    return next((_lease_of(item, job) for item, job in session.execute(query) if item.id not in held), None)


def _lease_of(item: WorkItem, job: Job) -> Lease:
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


def take_over(session: Session, lease: Lease) -> tuple[list[list[int]], int]:
    """Let an evaluation item take over the chips of the next item, if that evaluates the same variant.

    The next item is the one that `claim` would give, if it evaluates the same variant of the same job. A
    runner that has all loaded saves its start. What was taken over is in the item's payload, so another
    attempt at it goes on with that, too.

    Returns:
        All ranges of chips that the item has now, and the progress of what was taken over, in
        sample-forwards.
    """
    job, item = hold(session, lease)
    turn = next(turns.in_turn(session), None)
    first = turns.items_of(session, job.id)[:1] if turn is not None and turn.job_id == job.id else []
    other = session.get(WorkItem, first[0], populate_existing=True) if first else None
    if (
        other is None
        or job.state != JobState.RUNNING
        or (other.kind, other.payload.get("variant")) != (item.kind, item.payload.get("variant"))
    ):
        return repeats_of(item.payload), 0
    turns.charge(session, job, other)
    turns.pass_on(other, item)
    done = other.progress_done
    taken_over = [*item.payload.get("taken_over", []), *repeats_of(other.payload)]
    item.payload = {**item.payload, "taken_over": taken_over}
    item.progress_total += other.progress_total
    item.progress_done += done
    other.progress_total = other.progress_done = 0
    _end(other, ItemState.SUCCEEDED)
    record(session, job, "item.succeeded", {"item": other.key, "taken_over_by": item.key})
    return repeats_of(item.payload), done


def repeats_of(payload: dict[str, Any]) -> list[list[int]]:
    """Return the ranges of chips of an evaluation item: its own, and those that it took over."""
    return [payload["repeats"], *payload.get("taken_over", [])]


def gives_way(session: Session, lease: Lease) -> bool:
    """Return whether an item should stop where it is, since a job of which nothing was begun comes first."""
    job, item = session.get(Job, lease.job_id), session.get(WorkItem, lease.item_id)
    if job is None or item is None:
        return False
    worker = session.get(Worker, item.lease_owner) if item.lease_owner is not None else None
    able = [item.requires] if worker is None else worker.able
    return turns.newcomer_before(session, job, able) is not None


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
    _end(item, ItemState.SUCCEEDED)
    record(session, job, "item.succeeded", {"item": item.key})
    session.flush()
    items = _items(session, job.id)
    if all(other.state == ItemState.SUCCEEDED for other in items):
        return end_round(session, job, next_round)
    if job.state == JobState.CANCELLING:
        _settle_cancelling(session, job, items)
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
    record(session, job, "job.round", {"items": [item.key for item in more]})
    if all(item.state == ItemState.SUCCEEDED for item in more):  # earlier jobs have computed all of it
        session.flush()
        return end_round(session, job, next_round)
    return [item.key for item in more if item.state == ItemState.QUEUED]


def fail(session: Session, lease: Lease, failure: Failure) -> None:
    """Fail the item and with it the job, for a reason that another attempt would meet again."""
    job, item = hold(session, lease)
    _fail(session, job, item, failure)


def release(session: Session, lease: Lease, *, reason: str = "worker_shutdown") -> None:
    """Give the item back untouched, for a reason that is the worker's; no attempt is spent."""
    job, item = hold(session, lease)
    _requeue(session, job, item, reason=reason)


def compute_again(session: Session, lease: Lease, source_key: str) -> None:
    """Queue another item of the job again, because its result is gone; this item waits for it.

    Equal seeds give equal numbers, so nothing but time is lost.
    """
    job, item = hold(session, lease)
    for other in _items(session, job.id):
        if other.key == source_key and other.state == ItemState.SUCCEEDED:
            other.state = ItemState.QUEUED
            other.checkpoint, other.finished_at, other.rung_at_s = None, None, 0.0
            set_progress(job, other, 0)
            record(session, job, "item.requeued", {"item": other.key, "reason": "blob_missing", "attempt": 1})
    _requeue(session, job, item, reason="blob_missing")
    if item.state == ItemState.QUEUED:
        item.state = ItemState.BLOCKED
        item.needs = sorted({*item.needs, source_key})


def crash(session: Session, lease: Lease, failure: Failure, *, max_attempts: int) -> None:
    """Give the item back after its runner died; the last attempt fails the job."""
    job, item = hold(session, lease)
    _spend_attempt(session, job, item, failure, max_attempts)


def stopped(session: Session, lease: Lease) -> None:
    """Record that the item's runner has stopped because the job is being cancelled."""
    job, item = hold(session, lease)
    turns.correct(session, job, item)
    _end(item, ItemState.CANCELLED)
    session.flush()
    if job.state == JobState.CANCELLING:
        _settle_cancelling(session, job, _items(session, job.id))


def cancel(session: Session, job: Job) -> None:
    """Cancel a locked job that has not ended: at once when nothing runs, else as soon as its runners stop."""
    items = _items(session, job.id)
    now_s = database_time_s(session)
    for item in items:
        is_lost = item.state == ItemState.RUNNING and (item.lease_expires_s or 0.0) < now_s
        if item.state in _OPEN or is_lost:
            _end(item, ItemState.CANCELLED)
    if job.state == JobState.QUEUED:
        move(session, job, JobState.CANCELLED)
        return
    move(session, job, JobState.CANCELLING)
    _settle_cancelling(session, job, items)


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
        _end(item, ItemState.CANCELLED)
        session.flush()
        if job.state == JobState.CANCELLING:
            _settle_cancelling(session, job, _items(session, job.id))
        return True
    lost = Failure("worker_lost", "the worker went silent, more than once; retry the job", retryable=True)
    _spend_attempt(session, job, item, lost, max_attempts)
    return True


def _has_expired() -> ColumnElement[bool]:
    return and_(WorkItem.state == ItemState.RUNNING, WorkItem.lease_expires_s < database_now_s())


def unrung(session: Session, *, older_than_s: float) -> list[str]:
    """Return the jobs of queued items without a recent message, one entry an item; record the new message."""
    now = database_time_s(session)
    rows = session.execute(
        select(WorkItem.id, WorkItem.job_id)
        .where(WorkItem.state == ItemState.QUEUED, WorkItem.rung_at_s < now - older_than_s)
        .order_by(*_IN_TURN)
        .limit(1000)
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


def count_waiting(session: Session, able: Collection[str]) -> int:
    """Return how many items wait for a worker of these abilities, up to a limit."""
    waiting = select(WorkItem.id).where(WorkItem.state == ItemState.QUEUED, WorkItem.requires.in_(able))
    return len(session.scalars(waiting.limit(_CANDIDATES)).all())


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
    turns.correct(session, job, item)
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
    item.barren_attempts += 1
    if item.barren_attempts >= max_attempts and job.state != JobState.CANCELLING:
        _fail(session, job, item, failure)
        return
    job.attempt = max(job.attempt, item.attempt + 1)
    _requeue(session, job, item, reason=failure.code)


def _fail(session: Session, job: Job, item: WorkItem, failure: Failure) -> None:
    item.failure = failure.as_json()
    turns.correct(session, job, item)
    _end(item, ItemState.FAILED)
    for other in _items(session, job.id):
        if other.state in (*_OPEN, ItemState.RUNNING):
            turns.correct(session, job, other)
            _end(other, ItemState.CANCELLED)  # running ones notice at their next write or look
    move(session, job, JobState.FAILED, failure={**failure.as_json(), "item": item.key})


def _settle_cancelling(session: Session, job: Job, items: Sequence[WorkItem]) -> None:
    if not any(item.state == ItemState.RUNNING for item in items):
        move(session, job, JobState.CANCELLED)

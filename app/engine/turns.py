"""Whose work comes next: fair shares for projects, and within one the job with the least work left.

Over projects it is start-time fair queueing (Goyal, Vin, Cheng, 1996). A project's account is the seconds of
work that it was given, over its share: estimated ones of an item that runs, which are exchanged for those
that it took when it stops. So nobody wins by estimates that are low. The next item is one of the project
whose account is lowest. An account starts at the clock, the account of whoever was served last, and goes on
there after a pause, so nobody saves up time while idle.

Within a project the highest priority comes first, and of equal priorities the job that has the least
estimated work left, the older of equal ones: a small job waits for one item of a large one and not for all,
equal jobs are done one after another, and on the average results come as early as they can. So that no row of
small jobs keeps a large one waiting for ever, the time that passes the oldest job is counted, and it gets as
much.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, false, func, or_, select, tuple_
from sqlalchemy.orm import Session

from app.db.scope import EVERY_PROJECT
from app.db.tables import Job, Project, WorkItem
from app.db.types import utc_now

ITEM_S: Final = 0.15  # of a start, whatever the item does
SAMPLE_S: Final = 1e-4  # of a sample-forward, where no speed was measured
_CANDIDATES: Final = 16
_CATCH_UP_S: Final = 60.0  # the oldest job gets no more at a time, since small ones should start soon
_CLAIMED_BY_THEN: Final = timedelta(seconds=2)  # a free worker takes a new job sooner
_QUEUED: Final = "queued"
_OPEN: Final = ("running", _QUEUED)  # states of jobs that may have claimable items


def start_of(account_s: float, clock_s: float) -> float:
    """Return where an account goes on: after a pause nothing has been saved up."""
    return max(account_s, clock_s)


def left_s(job: Job) -> float:
    """Return the estimated seconds of work that a job has left."""
    return max(0, job.progress_total - job.progress_done) * job.sample_s


def cost_s(job: Job, item: WorkItem) -> float:
    """Return the estimated seconds of what is left of an item."""
    return ITEM_S + max(0, item.progress_total - item.progress_done) * job.sample_s


@dataclass(frozen=True)
class Turn:
    """A job that has an item to be claimed.

    Attributes:
        job_id: of the job.
        project: whose it is.
        priority: of the job, within its project.
        left_s: estimated seconds of work that it has left.
        is_new: whether nothing of it was begun yet.
    """

    job_id: str
    project: str
    priority: int
    left_s: float
    is_new: bool


def in_turn(session: Session, able: Collection[str] | None = None) -> Iterator[Turn]:
    """Yield jobs with claimable items, in the order in which they are served; the first few of each project.

    Args:
        session: one that sees all projects.
        able: what the worker is able to do; None is anything.
    """
    for project in _projects(session):
        yield from _jobs(session, project, able)


def items_of(session: Session, job_id: str, able: Collection[str] | None = None) -> list[str]:
    """Return the ids of a job's first claimable items, in their order."""
    query = select(WorkItem.id).where(WorkItem.job_id == job_id, *_claimable(able)).order_by(WorkItem.id)
    return list(session.scalars(query.limit(_CANDIDATES)))


def charge(session: Session, job: Job, item: WorkItem) -> None:
    """Put an item that is about to be done on the accounts of its project; the job is locked."""
    seconds = cost_s(job, item)
    project = _locked(session, job.project)
    item.charged_s = (item.charged_s or 0.0) + seconds
    job.left_s = left_s(job)
    if _passes_an_older_one(session, job):
        project.passing_s = min(project.passing_s + seconds, _CATCH_UP_S)
    else:  # what it is given while nobody else waits is held against it no longer than for an item
        project.passing_s = max(project.passing_s, 0.0) - seconds
    clock = session.scalars(select(func.max(Project.begun_s))).one() or 0.0
    project.begun_s = start_of(project.served_s, clock)
    project.served_s = project.begun_s + seconds / project.share


def pass_on(item: WorkItem, other: WorkItem) -> None:
    """Let an item that was charged be paid for by another one, which does it on the side."""
    other.charged_s = (other.charged_s or 0.0) + (item.charged_s or 0.0)
    item.charged_s = None


def correct(session: Session, job: Job, item: WorkItem) -> None:
    """Exchange what an item was charged for the seconds that it took, as it stops; the job is locked."""
    if item.charged_s is None or item.started_at is None:
        return
    more_s = max(0.0, (utc_now() - item.started_at).total_seconds()) - item.charged_s
    item.charged_s = None
    job.left_s = left_s(job)
    project = _locked(session, job.project)
    project.served_s = max(0.0, project.served_s + more_s / project.share)
    passing_s = more_s if _passes_an_older_one(session, job) else -more_s
    project.passing_s = min(project.passing_s + passing_s, _CATCH_UP_S)


def newcomer_before(session: Session, job: Job, able: Collection[str] | None) -> Turn | None:
    """Return the job that nothing was begun of, that comes next, and that no free worker takes.

    None where this job comes next, or where the newcomer of the same project has more work left or a lower
    priority.
    """
    first = next(in_turn(session, able), None)
    if first is None or not first.is_new or first.job_id == job.id:
        return None
    if first.project == job.project and (-first.priority, first.left_s) >= (-job.priority, left_s(job)):
        return None
    queued_at = session.scalars(select(Job.queued_at).where(Job.id == first.job_id)).one_or_none()
    return first if queued_at is not None and queued_at < utc_now() - _CLAIMED_BY_THEN else None


def jobs_before(session: Session, job: Job) -> int:
    """Return how many jobs have an item claimed before any of a queued one.

    Of another project that comes first, one job counts: then it is this project's turn. So does the oldest
    job of its own, where that was passed.
    """
    before, passing_s = 0, 0.0
    for project in _projects(session):
        passing_s = project.passing_s
        if project.name == job.project:
            break
        before += next(_jobs(session, project, None, limit=1), None) is not None
    is_first = or_(
        Job.priority > job.priority,
        and_(Job.priority == job.priority, tuple_(Job.left_s, Job.id) < tuple_(job.left_s, job.id)),
        Job.id == _oldest(session, job.project, job.priority, None) if passing_s > 0 else false(),
    )
    query = select(func.count()).where(
        Job.project == job.project, Job.state.in_(_OPEN), _has_items(None), is_first, Job.id != job.id
    )
    return before + session.scalars(query.select_from(Job), execution_options=EVERY_PROJECT).one()


def _projects(session: Session) -> list[Any]:
    """Return the projects as rows, the least served one first."""
    columns = (Project.name, Project.begun_s, Project.served_s, Project.passing_s)
    rows = session.execute(select(*columns)).all()
    clock_s = max((row.begun_s for row in rows), default=0.0)
    return sorted(rows, key=lambda row: (start_of(row.served_s, clock_s), row.begun_s, row.name))


def _jobs(
    session: Session, project: Any, able: Collection[str] | None, *, limit: int = _CANDIDATES
) -> Iterator[Turn]:
    """Yield the jobs of a project that have claimable items, in their order."""
    columns = (Job.id, Job.priority, Job.left_s, Job.state)
    theirs = select(*columns).where(Job.project == project.name, _has_items(able))
    in_order = theirs.order_by(Job.priority.desc(), Job.left_s, Job.id).limit(limit)  # as an index has them
    of_states = [in_order.where(Job.state == state) for state in _OPEN]
    rows = [row for query in of_states for row in session.execute(query, execution_options=EVERY_PROJECT)]
    rows = sorted(rows, key=lambda row: (-row.priority, row.left_s, row.id))[:limit]
    if rows and project.passing_s > 0:
        oldest = _oldest(session, project.name, rows[0].priority, able)
        found = session.execute(select(*columns).where(Job.id == oldest), execution_options=EVERY_PROJECT)
        rows = [*found, *(row for row in rows if row.id != oldest)]
    for row in rows:
        yield Turn(row.id, project.name, row.priority, row.left_s, row.state == _QUEUED)


def _oldest(session: Session, project: str, priority: int, able: Collection[str] | None) -> str | None:
    """Return the id of a project's oldest job of a priority that has claimable items."""
    theirs = select(Job.id).where(Job.project == project, Job.priority == priority, _has_items(able))
    in_order = theirs.order_by(Job.id).limit(1)
    of_states = [in_order.where(Job.state == state) for state in _OPEN]
    found = [session.scalars(query, execution_options=EVERY_PROJECT).all() for query in of_states]
    return min((job_id for ids in found for job_id in ids), default=None)


def _passes_an_older_one(session: Session, job: Job) -> bool:
    """Return whether a job that is served leaves an older one of its priority waiting."""
    older = select(Job.id).where(
        Job.project == job.project, Job.priority == job.priority, Job.id < job.id, _has_items(None)
    )
    of_states = [older.where(Job.state == state).limit(1) for state in _OPEN]
    return any(session.scalars(query, execution_options=EVERY_PROJECT).first() for query in of_states)


def _has_items(able: Collection[str] | None) -> ColumnElement[bool]:
    return select(WorkItem.id).where(WorkItem.job_id == Job.id, *_claimable(able)).exists()


def _claimable(able: Collection[str] | None) -> list[ColumnElement[bool]]:
    able_to = [] if able is None else [WorkItem.requires.in_(able)]
    return [WorkItem.state == _QUEUED, *able_to]


def _locked(session: Session, name: str) -> Project:
    """Return a project, locked after its job as everywhere; others may add rows that refer to it."""
    query = select(Project).where(Project.name == name).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()

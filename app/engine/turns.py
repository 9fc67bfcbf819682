"""Whose work comes next: start-time fair queueing (Goyal, Vin, Cheng, 1996), over projects and over jobs.

A project's account is the seconds of work that it was given, over its share: estimated ones of an item that
runs, which are exchanged for those that it took when it stops. So nobody wins by estimates that are low. The
next item is one of the project whose account is lowest; within the project the highest priority comes first,
and of equal priorities the job whose account is lowest. So a small job waits for one item of a large one, not
for all.

An account starts at the clock, the account of whoever was served last, and a project's goes on there after a
pause. So nobody saves up time while idle, and a project or job that is new comes next. When a job ends, the
clock of its project's jobs is set to its account, so that a row of small jobs does not keep a large one
waiting for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from app.db.scope import EVERY_PROJECT
from app.db.tables import Job, Project, WorkItem
from app.db.types import utc_now

ITEM_S: Final = 0.15  # of a start, whatever the item does
SAMPLE_S: Final = 1e-4  # of a sample-forward, where no speed was measured
_CANDIDATES: Final = 16
_CLAIMED_BY_THEN: Final = timedelta(seconds=2)  # a free worker takes a new job sooner
_QUEUED: Final = "queued"
_RUNNING: Final = "running"


def start_of(account_s: float, clock_s: float) -> float:
    """Return where an account goes on: after a pause nothing has been saved up."""
    return max(account_s, clock_s)


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
        is_new: whether nothing of it was begun yet.
    """

    job_id: str
    project: str
    priority: int
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
    """Put an item that is about to be done on the accounts of its job and its project; the job is locked."""
    seconds = cost_s(job, item)
    project = _locked(session, job.project)
    # A job that has begun has waited all the time; one that is new starts at the clock.
    begun = job.served_s if job.state == _RUNNING else start_of(job.served_s, project.jobs_clock_s)
    item.charged_s = (item.charged_s or 0.0) + seconds
    job.served_s = begun + seconds
    project.jobs_clock_s = max(project.jobs_clock_s, begun)
    clock = session.scalars(select(func.max(Project.begun_s))).one() or 0.0
    project.begun_s = start_of(project.served_s, clock)
    project.served_s = project.begun_s + seconds / project.share


def settle(session: Session, job: Job) -> None:
    """Close the account of a locked job that ends."""
    if job.served_s > 0:
        project = _locked(session, job.project)
        project.jobs_clock_s = max(project.jobs_clock_s, job.served_s)


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
    project = _locked(session, job.project)
    job.served_s = max(0.0, job.served_s + more_s)
    project.served_s = max(0.0, project.served_s + more_s / project.share)


def newcomer_before(session: Session, job: Job, able: Collection[str] | None) -> Turn | None:
    """Return the job that nothing was begun of, that comes next, and that no free worker takes.

    None where this job comes next, or where the newcomer has a lower priority in the same project.
    """
    first = next(in_turn(session, able), None)
    if first is None or not first.is_new or first.job_id == job.id:
        return None
    if first.project == job.project and first.priority < job.priority:
        return None
    queued_at = session.scalars(select(Job.queued_at).where(Job.id == first.job_id)).one_or_none()
    return first if queued_at is not None and queued_at < utc_now() - _CLAIMED_BY_THEN else None


def jobs_before(session: Session, job: Job) -> int:
    """Return how many jobs have an item claimed before any of a queued one.

    Of another project that comes first, one job counts: then it is this project's turn.
    """
    before, clock_s = 0, 0.0
    for project in _projects(session):
        clock_s = project.jobs_clock_s
        if project.name == job.project:
            break
        before += next(_jobs(session, project, None, limit=1), None) is not None
    has_items = select(WorkItem.id).where(WorkItem.job_id == Job.id, *_claimable(None)).exists()
    is_first = or_(
        Job.priority > job.priority,
        and_(Job.priority == job.priority, Job.state == _QUEUED, Job.id < job.id),
        and_(Job.priority == job.priority, Job.state == _RUNNING, Job.served_s < clock_s),
    )
    query = select(func.count()).where(
        Job.project == job.project, Job.state.in_((_QUEUED, _RUNNING)), has_items, is_first
    )
    return before + session.scalars(query.select_from(Job), execution_options=EVERY_PROJECT).one()


def _projects(session: Session) -> list[Any]:
    """Return the projects as rows, the least served one first."""
    columns = (Project.name, Project.begun_s, Project.served_s, Project.jobs_clock_s)
    rows = session.execute(select(*columns)).all()
    clock_s = max((row.begun_s for row in rows), default=0.0)
    return sorted(rows, key=lambda row: (start_of(row.served_s, clock_s), row.begun_s, row.name))


def _jobs(
    session: Session, project: Any, able: Collection[str] | None, *, limit: int = _CANDIDATES
) -> Iterator[Turn]:
    """Yield the jobs of a project that have claimable items, in their order."""
    has_items = select(WorkItem.id).where(WorkItem.job_id == Job.id, *_claimable(able)).exists()
    columns = (Job.id, Job.priority, Job.served_s, Job.state)
    theirs = select(*columns).where(Job.project == project.name, has_items)
    in_order = theirs.order_by(Job.priority.desc(), Job.served_s, Job.id).limit(limit)  # as an index has them
    begun = in_order.where(Job.state == _RUNNING)
    # All that are new start at the clock, and nothing is on their accounts: the oldest ones come first.
    new = in_order.where(Job.state == _QUEUED)
    rows = [row for query in (begun, new) for row in session.execute(query, execution_options=EVERY_PROJECT)]

    def place(row: Any) -> tuple[int, float, bool, str]:
        has_begun = row.state == _RUNNING
        return -row.priority, row.served_s if has_begun else project.jobs_clock_s, has_begun, row.id

    for row in sorted(rows, key=place)[:limit]:
        yield Turn(row.id, project.name, row.priority, row.state == _QUEUED)


def _claimable(able: Collection[str] | None) -> list[ColumnElement[bool]]:
    able_to = [] if able is None else [WorkItem.requires.in_(able)]
    return [WorkItem.state == _QUEUED, *able_to]


def _locked(session: Session, name: str) -> Project:
    """Return a project, locked after its job as everywhere; others may add rows that refer to it."""
    query = select(Project).where(Project.name == name).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()

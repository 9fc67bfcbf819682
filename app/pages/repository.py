"""The queries of pages that no resource has: each gives a whole list what it needs, at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.scope import EVERY_PROJECT
from app.db.tables import Baseline, Cell, Dataset, Event, Job, Model, WorkItem
from app.engine.states import ItemState, JobState

_MOST_OPEN = 1000  # jobs of which the work is summed
_OPEN = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)


@dataclass(frozen=True)
class CurvePoint:
    """A variant's metric over chips at one time, as sums: the mean and its interval follow.

    Attributes:
        job_id: whose.
        variant: of which network.
        t_inference: seconds after programming.
        chips: how many.
        finite: how many of them have a finite metric.
        mean: of the metric.
        mean_square: of the metric's square.
    """

    job_id: str
    variant: str
    t_inference: float
    chips: int
    finite: int
    mean: float | None
    mean_square: float | None


@dataclass(frozen=True)
class OpenItem:
    """A work item that runs."""

    job_id: str
    key: str
    owner: str | None
    job_name: str | None


class PageRepository:
    """Queries across resources."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def open_jobs(self) -> Mapping[str, int]:
        """Return how many jobs there are in each state that is not final."""
        query = (
            select(Job.state, func.count().label("number")).where(Job.state.in_(_OPEN)).group_by(Job.state)
        )
        return {row.state: row.number for row in self._session.execute(query)}

    def model_names(self, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of models by id."""
        query = select(Model.id, Model.name).where(Model.id.in_(ids))
        return {row.id: row.name for row in self._session.execute(query)}

    def dataset_names(self, ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of uploaded datasets by id."""
        query = select(Dataset.id, Dataset.name).where(Dataset.id.in_(ids))
        return {row.id: row.name for row in self._session.execute(query)}

    def curves(self, job_ids: Collection[str]) -> Sequence[CurvePoint]:
        """Return the points of several jobs, in the order of time."""
        seen = self._session.scalars(select(Job.id).where(Job.id.in_(job_ids))).all()
        query = (
            select(
                Cell.job_id,
                Cell.variant,
                Cell.t_inference,
                func.count(),
                func.count(Cell.metric),
                func.avg(Cell.metric),
                func.avg(Cell.metric * Cell.metric),
            )
            .where(Cell.job_id.in_(seen))
            .group_by(Cell.job_id, Cell.variant, Cell.t_inference)
            .order_by(Cell.t_inference)
        )
        # The jobs are the project's: to ask that of a hundred thousand cells takes longer than to sum them.
        rows = self._session.execute(query, execution_options=EVERY_PROJECT)
        return [CurvePoint(*row) for row in rows]

    def digital(self, job_ids: Collection[str]) -> Mapping[str, float | None]:
        """Return the metric of the models as uploaded, by job."""
        query = select(Baseline.job_id, Baseline.metric).where(
            Baseline.job_id.in_(job_ids), Baseline.variant == "digital"
        )
        return {row.job_id: row.metric for row in self._session.execute(query)}

    def latest_events(self, job_id: str, *, without: Collection[str], limit: int) -> Sequence[Event]:
        """Return the job's last events but those of some types, newest first."""
        query = select(Event).where(Event.job_id == job_id, Event.type.not_in(without))
        return self._session.scalars(query.order_by(Event.seq.desc()).limit(limit)).all()

    def running_items(self) -> Sequence[OpenItem]:
        """Return the work items that workers hold now."""
        query = (
            select(WorkItem.job_id, WorkItem.key, WorkItem.lease_owner, Job.name)
            .join(Job, Job.id == WorkItem.job_id)
            .where(WorkItem.state == ItemState.RUNNING)
            .order_by(WorkItem.started_at, WorkItem.id)
        )
        return [OpenItem(*row) for row in self._session.execute(query)]

    def queued_jobs(self, limit: int) -> Sequence[Job]:
        """Return the jobs that wait, in the order in which they are begun."""
        query = select(Job).where(Job.state == JobState.QUEUED)
        return self._session.scalars(query.order_by(Job.priority.desc(), Job.id).limit(limit)).all()

    def work_before(self, job: Job) -> tuple[int, float | None]:
        """Return the samples that are left of the jobs before a queued one, and the present samples per s.

        Jobs of all projects count: they share the workers.
        """
        query = select(
            Job.id,
            Job.state,
            Job.priority,
            Job.progress_done,
            Job.progress_total,
            Job.started_at,
            Job.progressed_at,
        ).where(Job.state.in_(_OPEN), Job.id != job.id)
        left, speed = 0, 0.0
        for row in self._session.execute(query.limit(_MOST_OPEN), execution_options=EVERY_PROJECT):
            if row.state == JobState.QUEUED and (-row.priority, row.id) > (-job.priority, job.id):
                continue
            left += max(0, row.progress_total - row.progress_done)
            if row.started_at and row.progressed_at and row.progressed_at > row.started_at:
                speed += row.progress_done / (row.progressed_at - row.started_at).total_seconds()
        return left, speed or None

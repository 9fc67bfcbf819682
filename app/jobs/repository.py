"""The queries of jobs, for the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db.tables import (
    Artifact,
    Baseline,
    Cell,
    Dataset,
    Epoch,
    Event,
    Job,
    JobResultKey,
    JobTag,
    Model,
    RpuConfig,
    WorkItem,
)  # fmt: skip


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows; None is any."""

    state: str | None = None
    tag: str | None = None
    model_id: str | None = None


class JobRepository:
    """Jobs and what belongs to them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, job: Job, items: Sequence[WorkItem], result_keys: dict[str, str]) -> None:
        """Store a new job with its tags, work items and result keys."""
        self._session.add(job)
        self._session.flush()
        for tag in dict.fromkeys(job.tags):
            self._session.add(JobTag(job_id=job.id, tag=tag))
        for item in items:
            item.job_id = job.id
            item.priority = job.priority
        for variant, key in result_keys.items():
            self._session.add(JobResultKey(job_id=job.id, variant=variant, key=key))
        self._session.add_all(items)

    def get(self, job_id: str) -> Job | None:
        """Return the job."""
        return self._session.get(Job, job_id)

    def listing(self, job_filter: JobFilter, *, before_id: str | None, limit: int) -> Sequence[Job]:
        """Return the jobs that pass the filter, newest first, older than the given one."""
        query = select(Job).order_by(Job.id.desc()).limit(limit)  # ids sort by the time they were made
        if before_id is not None:
            query = query.where(Job.id < before_id)
        if job_filter.state is not None:
            query = query.where(Job.state == job_filter.state)
        if job_filter.model_id is not None:
            query = query.where(Job.model_id == job_filter.model_id)
        if job_filter.tag is not None:
            query = query.join(JobTag, JobTag.job_id == Job.id).where(JobTag.tag == job_filter.tag)
        return self._session.scalars(query).all()

    def model(self, model_id: str) -> Model | None:
        """Return an uploaded model."""
        return self._session.get(Model, model_id)

    def dataset(self, dataset_id: str) -> Dataset | None:
        """Return an uploaded dataset."""
        return self._session.get(Dataset, dataset_id)

    def stored_config(self, config_id: str) -> RpuConfig | None:
        """Return a stored configuration."""
        return self._session.get(RpuConfig, config_id)

    def cells(self, job_id: str) -> Sequence[Cell]:
        """Return the job's cells, ordered."""
        query = (
            select(Cell).where(Cell.job_id == job_id).order_by(Cell.variant, Cell.t_inference, Cell.repeat)
        )
        return self._session.scalars(query).all()

    def baselines(self, job_id: str) -> Sequence[Baseline]:
        """Return the floating-point results of the job's models."""
        return self._session.scalars(select(Baseline).where(Baseline.job_id == job_id)).all()

    def epochs(self, job_id: str) -> Sequence[Epoch]:
        """Return the fine-tuning epochs, ordered."""
        query = select(Epoch).where(Epoch.job_id == job_id).order_by(Epoch.variant, Epoch.epoch)
        return self._session.scalars(query).all()

    def events(self, job_id: str, *, after_seq: int, limit: int) -> Sequence[Event]:
        """Return events of the job after a number, in order."""
        query = select(Event).where(Event.job_id == job_id, Event.seq > after_seq)
        return self._session.scalars(query.order_by(Event.seq).limit(limit)).all()

    def artifacts(self, job_id: str) -> Sequence[Artifact]:
        """Return the job's files by name."""
        query = select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)
        return self._session.scalars(query).all()

    def artifact(self, job_id: str, name: str) -> Artifact | None:
        """Return one file of the job."""
        return self._session.get(Artifact, (job_id, name))

    def delete(self, job: Job) -> None:
        """Delete the job with all that belongs to it."""
        for table in (Cell, Baseline, Epoch, Event, Artifact, WorkItem, JobTag, JobResultKey):
            self._session.execute(delete(table).where(table.job_id == job.id))
        self._session.delete(job)

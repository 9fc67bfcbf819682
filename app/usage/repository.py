"""The queries of usage."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.tables import Artifact, Dataset, Job, Model, Project
from app.engine.states import FINAL


class UsageRepository:
    """What the project of the session uses, and projects."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def project(self, name: str, *, locked: bool = False) -> Project | None:
        """Return a project; `locked` makes other requests that are counted wait until this one is done."""
        lock = {"key_share": True} if locked else None
        return self._session.get(Project, name, with_for_update=lock, populate_existing=locked)

    def projects(self) -> list[Project]:
        """Return all projects by name."""
        return list(self._session.scalars(select(Project).order_by(Project.name)))

    def open_jobs(self) -> int:
        """Return how many jobs have not ended."""
        query = select(func.count()).select_from(Job).where(Job.state.not_in(FINAL))
        return self._session.scalars(query).one()

    def seconds_since(self, since: datetime) -> float:
        """Return the estimated seconds of the jobs that were submitted since then."""
        query = select(func.sum(Job.estimated_s)).where(Job.created_at >= since)
        return float(self._session.scalars(query).one() or 0.0)

    def first_since(self, since: datetime) -> datetime | None:
        """Return when the first job since then was submitted that has estimated seconds."""
        query = select(func.min(Job.created_at)).where(Job.created_at >= since, Job.estimated_s > 0)
        return self._session.scalars(query).one()

    def stored_bytes(self) -> int:
        """Return the bytes of models, datasets and artifacts; what two projects share counts for both."""
        sizes = (Model.size_bytes, Dataset.size_bytes, Artifact.size_bytes)
        return sum(int(self._session.scalars(select(func.sum(size))).one() or 0) for size in sizes)

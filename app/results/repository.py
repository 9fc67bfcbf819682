"""The queries of results."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Artifact, Baseline, Job


class ResultRepository:
    """What jobs computed. Cells are read as columns (`app.results.cells`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def job(self, job_id: str) -> Job | None:
        """Return the job."""
        return self._session.get(Job, job_id)

    def artifact(self, job_id: str, name: str) -> Artifact | None:
        """Return one of the job's files."""
        return self._session.get(Artifact, (job_id, name))

    def baselines(self, job_id: str) -> Sequence[Baseline]:
        """Return the floating-point results of the job's models."""
        return self._session.scalars(select(Baseline).where(Baseline.job_id == job_id)).all()

"""The queries of results."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Baseline, Job


class ResultRepository:
    """What jobs computed. Cells are read as columns (`app.results.cells`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def job(self, job_id: str) -> Job | None:
        """Return the job."""
        return self._session.get(Job, job_id)

    def baselines(self, job_id: str) -> Sequence[Baseline]:
        """Return the floating-point results of the job's models."""
        return self._session.scalars(select(Baseline).where(Baseline.job_id == job_id)).all()

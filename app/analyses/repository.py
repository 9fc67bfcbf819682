"""The queries of analyses beyond what the engine reads."""

from __future__ import annotations

from collections.abc import Container

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.tables import AnalysisRow


class AnalysisRepository:
    """Rows of analyses."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def count(self, job_id: str, analysis: str, planned: Container[tuple[str, str]]) -> int:
        """Return how many rows a job has of an analysis, of the planned (variant, setting) alone."""
        rows = self._session.execute(
            select(AnalysisRow.variant, AnalysisRow.setting, func.count())
            .where(AnalysisRow.job_id == job_id, AnalysisRow.analysis == analysis)
            .group_by(AnalysisRow.variant, AnalysisRow.setting)
        )
        return sum(count for variant, setting, count in rows if (variant, setting) in planned)

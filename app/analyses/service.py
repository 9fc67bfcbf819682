"""Which analyses a job has, and what they have found by now. Reads only."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.analyses.answers import ANSWERS
from app.analyses.asked import Asked
from app.analyses.repository import AnalysisRepository
from app.analyses.schemas import AnalysesView, AnalysisItemView, AnalysisState
from app.db.tables import Job
from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.plan import analysis_items, analysis_rows
from app.engine.kinds.analyses.subject import Subject
from app.engine.specification import classes_of, spec_of, task_of
from app.engine.states import FINAL, ItemState, JobState
from app.kit.problems import NotFound
from simulator.config.analyses import AnalysisConfig


class AnalysisService:
    """Analyses of jobs, for the API and its pages."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def listing(self, job: Job) -> AnalysesView:
        """Return the analyses of a job with how far they are."""
        asked = spec_of(job).analyses if job.spec.get("analyses") else ()
        return AnalysesView(job=job.id, items=[self._item(job, one) for one in asked])

    def asked(self, job: Job, analysis_type: str) -> Asked:
        """Return one analysis of a job with what there is of it.

        Raises:
            NotFound: it was not asked for.
        """
        spec = spec_of(job) if job.spec.get("analyses") else None
        analysis = next(
            (one for one in ([] if spec is None else spec.analyses) if one.type == analysis_type), None
        )
        if analysis is None:
            raise NotFound(
                f"the job was not asked for the analysis {analysis_type[:50]!r}; "
                f"POST /v1/jobs/{job.id}/extend asks for one: {', '.join(ANSWERS)}"
            )
        task = task_of(job)
        classes = classes_of(self._session, job.dataset_ref) if task.has_classes else None
        return Asked(
            job_id=job.id,
            title=job.name or f"job {job.id}",
            analysis=analysis,
            subject=Subject.read(self._session, job),
            measured=Measured.read(self._session, job, analysis.type),
            complete=self._item(job, analysis).state is AnalysisState.SUCCEEDED,
            rpu_config=job.spec["rpu_config"],
            layers=job.spec.get("layers"),
            classes=classes,
        )

    def _item(self, job: Job, analysis: AnalysisConfig) -> AnalysisItemView:
        spec = spec_of(job)
        items = [
            one for one in analysis_items(self._session, job.id) if one.payload["analysis"] == analysis.type
        ]
        total = analysis_rows(items, spec)
        planned = {
            (one.payload["variant"], setting["key"]) for one in items for setting in one.payload["settings"]
        }
        done = AnalysisRepository(self._session).count(job.id, analysis.type, planned)
        if job.state == JobState.SUCCEEDED:
            state = AnalysisState.SUCCEEDED
        elif job.state in FINAL:
            state = AnalysisState(job.state)
        else:
            has_begun = done > 0 or any(one.state == ItemState.RUNNING for one in items)
            state = AnalysisState.RUNNING if has_begun else AnalysisState.QUEUED
        return AnalysisItemView(
            type=analysis.type,
            state=state,
            done=done,
            total=total,
            url=f"/v1/jobs/{job.id}/analyses/{analysis.type}",
        )

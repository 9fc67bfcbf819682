"""Polls: jobs as those read them who ask again and again, all who ask in the same moment together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.tables import Job
from app.engine.states import JobState
from app.jobs import views
from app.jobs.repository import JobMark, JobRepository
from app.kit.etag import Conditional


@dataclass(frozen=True)
class Poll:
    """A question for a job.

    Attributes:
        job_id: the job.
        conditional: which versions of it the client holds.
    """

    job_id: str
    conditional: Conditional


def read_polls(session: Session, polls: Sequence[Poll]) -> dict[Poll, Job | JobMark | None]:
    """Answer polls: with the job; with its mark alone where the client holds this version; None is no job.

    What a queued job waits for is part of its version and not of its mark.
    """
    repository = JobRepository(session)
    marks = repository.marks({poll.job_id for poll in polls if poll.conditional.if_none_match is not None})
    held = {poll: mark for poll in polls if (mark := _held(poll, marks.get(poll.job_id))) is not None}
    jobs = repository.several({poll.job_id for poll in polls if poll not in held})
    return {poll: held.get(poll) or jobs.get(poll.job_id) for poll in polls}


def _held(poll: Poll, mark: JobMark | None) -> JobMark | None:
    if mark is None or mark.state == JobState.QUEUED:
        return None
    return mark if poll.conditional.holds(views.job_tag(mark, None)) else None

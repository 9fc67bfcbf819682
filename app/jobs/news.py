"""What is new of jobs, for all event streams that ask in the same moment: one snapshot, two queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from app.db.tables import Event
from app.jobs import views
from app.jobs.repository import JobMark, JobRepository
from app.kit import sse

EVENTS_AT_ONCE: Final = 200  # of one job


@dataclass(frozen=True)
class Since:
    """What a stream has of its job.

    Attributes:
        job_id: the job.
        after: the number of the last event that the stream has.
    """

    job_id: str
    after: int


@dataclass(frozen=True)
class News:
    """What is new of a job.

    Attributes:
        version: of the job.
        has_ended: whether the job's state is final.
        frames: the next events as a stream sends them, in order; `EVENTS_AT_ONCE` at most.
        last: the number of the last of them, or what the stream has.
        may_be_more: whether there may be others.
    """

    version: int
    has_ended: bool
    frames: bytes
    last: int
    may_be_more: bool


def read_news(session: Session, asked: Sequence[Since]) -> dict[Since, News | None]:
    """Return what is new for each stream; None where there is no such job."""
    repository = JobRepository(session)
    jobs = repository.marks({since.job_id for since in asked})
    events = _events(repository, jobs, [since for since in asked if since.job_id in jobs])
    return {
        since: _news(jobs[since.job_id], since, events[since]) if since in events else None for since in asked
    }


def _events(
    repository: JobRepository, jobs: Mapping[str, JobMark], asked: Sequence[Since]
) -> dict[Since, Sequence[Event]]:
    """Return the next events for each stream, in one query for all that lack few.

    An event's number is its job's version at the time, so no stream lacks more events than the numbers tell.
    """
    lacking = {since: jobs[since.job_id].version - since.after for since in asked}
    after: dict[str, int] = {}
    for since in asked:
        if 0 < lacking[since] <= EVENTS_AT_ONCE:
            after[since.job_id] = min(since.after, after.get(since.job_id, since.after))
    found = repository.events_of(after)
    events: dict[Since, Sequence[Event]] = {}
    for since in asked:
        if lacking[since] > EVENTS_AT_ONCE:
            events[since] = repository.events(since.job_id, after_seq=since.after, limit=EVENTS_AT_ONCE)
        else:
            events[since] = [event for event in found.get(since.job_id, ()) if event.seq > since.after]
    return events


def _news(job: JobMark, since: Since, events: Sequence[Event]) -> News:
    frames = (sse.frame(event.type, event.seq, views.event_view(event).model_dump_json()) for event in events)
    return News(
        version=job.version,
        has_ended=views.has_ended(job),
        frames=b"".join(frames),
        last=events[-1].seq if events else since.after,
        may_be_more=len(events) == EVENTS_AT_ONCE,
    )

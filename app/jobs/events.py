"""A job's events as a stream: from the database, in order, from any of them on, until the job has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import anyio
from starlette.concurrency import run_in_threadpool

from app.db.session import Database
from app.db.tables import Event, Job
from app.engine.watch import JobWatch
from app.jobs import views
from app.jobs.repository import JobRepository
from app.kit import sse
from app.kit.fields import not_found
from app.kit.permits import Permit

RETRY_MS: Final = 1000
_AT_ONCE = 200


class EventStream:
    """One client's stream. It holds a connection and a thread only while it reads.

    Args:
        database: where the events are.
        watch: notices when there may be more.
        job_id: whose events.
        after: the number of the last event that the client has.
        permit: what let the client in; when it ends, so does the stream.
        heartbeat_s: after this time without an event the stream sends a comment, so that nobody drops it.
        lifetime_s: after this time the stream ends; the client reconnects and goes on where it was.
    """

    def __init__(
        self,
        database: Database,
        watch: JobWatch,
        job_id: str,
        after: int,
        *,
        permit: Permit,
        heartbeat_s: float,
        lifetime_s: float,
    ) -> None:
        self._database = database
        self._watch = watch
        self._job_id = job_id
        self._after = after
        self._permit = permit
        self._heartbeat_s = heartbeat_s
        self._lifetime_s = lifetime_s

    async def is_over(self) -> bool:
        """Return whether the job has ended and the client has all of its events.

        Raises:
            NotFound: there is no such job.
        """
        job, events = await run_in_threadpool(self._read)
        if job is None:
            raise not_found("job", self._job_id)
        return views.has_ended(job) and not events

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the events after the client's last, each once, to the job's last or the stream's end."""
        end = anyio.current_time() + self._lifetime_s
        yield sse.retry(RETRY_MS)
        while True:
            if self._permit.fault is not None:
                yield sse.comment(f"the stream ends: {self._permit.fault.detail}")
                return
            job, events = await run_in_threadpool(self._read)
            for event in events:
                yield sse.frame(event.type, event.seq, views.event_view(event).model_dump_json())
                self._after = event.seq
            if len(events) == _AT_ONCE:
                continue
            if job is None or views.has_ended(job):
                return
            left_s = end - anyio.current_time()
            if left_s <= 0 or self._watch.stopped:
                yield sse.retry(RETRY_MS)
                return
            with (
                anyio.move_on_after(min(left_s, self._heartbeat_s)) as waiting,
                self._permit.ending(waiting.cancel),
            ):
                await self._watch.beyond(job.id, job.version)
            if waiting.cancelled_caught and self._permit.fault is None:
                yield sse.HEARTBEAT

    def _read(self) -> tuple[Job | None, Sequence[Event]]:
        """Return the job and its next events, in one snapshot: an ended job's events are all there."""
        with self._database.reading() as session:
            jobs = JobRepository(session)
            return jobs.get(self._job_id), jobs.events(self._job_id, after_seq=self._after, limit=_AT_ONCE)

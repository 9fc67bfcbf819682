"""A job's events as a stream: from the database, in order, from any of them on, until the job has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import anyio

from app.engine.watch import JobWatch
from app.jobs.news import News, Since
from app.kit import sse
from app.kit.fields import not_found
from app.kit.permits import Permit
from app.kit.together import Together

RETRY_MS: Final = 1000


class EventStream:
    """One client's stream. It holds a connection and a thread only while it reads, shared with others.

    Args:
        reader: reads the events.
        watch: notices when there may be more.
        since: whose events, and which of them the client has.
        permit: what let the client in; when it ends, so does the stream.
        heartbeat_s: after this time without an event the stream sends a comment, so that nobody drops it.
        lifetime_s: after this time the stream ends; the client reconnects and goes on where it was.
    """

    def __init__(
        self,
        reader: Together[Since, News | None],
        watch: JobWatch,
        since: Since,
        *,
        permit: Permit,
        heartbeat_s: float,
        lifetime_s: float,
    ) -> None:
        self._reader = reader
        self._watch = watch
        self._since = since
        self._permit = permit
        self._heartbeat_s = heartbeat_s
        self._lifetime_s = lifetime_s
        self._read: News | None = None  # and not sent yet

    async def is_over(self) -> bool:
        """Return whether the job has ended and the client has all of its events.

        Raises:
            NotFound: there is no such job.
        """
        self._read = await self._reader.ask(self._since)
        if self._read is None:
            raise not_found("job", self._since.job_id)
        return self._read.has_ended and not self._read.frames

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the events after the client's last, each once, to the job's last or the stream's end."""
        end = anyio.current_time() + self._lifetime_s
        yield sse.retry(RETRY_MS)
        while True:
            if self._permit.fault is not None:
                yield sse.comment(f"the stream ends: {self._permit.fault.detail}")
                return
            news, self._read = self._read or await self._reader.ask(self._since), None
            if news is None:
                return
            if news.frames:
                yield news.frames
                self._since = replace(self._since, after=news.last)
            if news.may_be_more:
                continue
            if news.has_ended:
                return
            left_s = end - anyio.current_time()
            if left_s <= 0 or self._watch.stopped:
                yield sse.retry(RETRY_MS)
                return
            with (
                anyio.move_on_after(min(left_s, self._heartbeat_s)) as waiting,
                self._permit.ending(waiting.cancel),
            ):
                await self._watch.beyond(self._since.job_id, news.version)
            if waiting.cancelled_caught and self._permit.fault is None:
                yield sse.HEARTBEAT

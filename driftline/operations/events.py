"""What happened to a job, as it happens: the event stream, joined again where it broke."""

from __future__ import annotations

from typing import Any, Final

import httpx

from driftline.core.retries import problem_of, unreachable
from driftline.core.sse import StreamReader
from driftline.core.steps import Close, Emit, Flow, NextChunk, Open, Sleep, Stream, call_json, get
from driftline.errors import ApiError, ServerError, ServiceUnreachable
from driftline.operations.lists import listed
from driftline.operations.naming import Named, path_of
from driftline.operations.waiting import Patience
from driftline.resources.jobs import FINAL_STATES, Event

_STREAM: Final = {"Accept": "text/event-stream"}
_LAST: Final = frozenset(f"job.{state}" for state in FINAL_STATES)
_LONGEST_REST_S: Final = 1.0  # between a stream's end and the question whether there is more
_PASSING: Final = (ServiceUnreachable, ServerError)


def events(job: Named, *, follow: bool = True, after: int = 0) -> Flow[None]:
    """Iterate over what happens to the job, each event once and in order, until the job has ended.

    Where the stream breaks it is joined again after the last event that was seen; a service that restarts is
    waited for.

    Args:
        job: which one.
        follow: False ends with what has happened so far.
        after: only events with a larger number (`seq`) than this.
    """
    path = path_of("jobs", job, "events")
    if not follow:
        for told in (yield from listed(path, None, {"after": after or None})):
            yield Emit(Event(told))
        return
    yield from call_json(get(path_of("jobs", job)))  # there is such a job, and a service that knows it
    last, patience = after, Patience()
    while True:
        reader = StreamReader()
        try:
            stream = yield from _opened(path, last)
            if stream.response.status_code == httpx.codes.NO_CONTENT:  # it has ended, and all is told
                return
            while (chunk := (yield NextChunk(stream))) is not None:
                patience = Patience()
                for message in reader.feed(chunk):
                    last = int(message.id)
                    yield Emit(Event(message.data))
                    if message.data["type"] in _LAST:
                        return
            yield Close(stream)
        except (*_PASSING, httpx.RequestError) as error:
            yield Sleep(patience.pause_s(error))
        else:
            yield Sleep(min(reader.retry_s or 0.0, _LONGEST_REST_S))


def _opened(path: str, last: int) -> Flow[Stream]:
    """Open the stream behind an event.

    Raises:
        ApiError: there is no such job, or the service cannot answer.
        ServiceUnreachable: the service does not answer.
    """
    headers: dict[str, Any] = {**_STREAM, **({"Last-Event-ID": str(last)} if last else {})}
    try:
        stream: Stream = yield Open(get(path, headers=headers))
    except httpx.RequestError as error:
        raise unreachable(error) from error
    if not stream.response.is_success:
        problem: ApiError = problem_of(stream.response)
        raise problem
    return stream

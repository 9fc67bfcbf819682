"""Drives operations with blocking calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from driftline.core.retries import answered
from driftline.core.settings import Settings
from driftline.core.steps import (
    Call,
    Close,
    Course,
    Emit,
    Flow,
    NextChunk,
    Open,
    Request,
    Send,
    Sleep,
    Step,
    Stream,
    Work,
)
from driftline.errors import DriftlineError, brief

T = TypeVar("T")


class BlockingTransport:
    """A pool of connections to the service. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._http = httpx.Client(**settings.client_options())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Drive an operation to its end and return what it returns."""
        try:
            return self._drive(flow)
        except DriftlineError as error:
            raise brief(error) from error.__cause__

    def _drive(self, flow: Flow[T]) -> T:
        course = Course(flow)
        with closing(course), ExitStack() as streams:
            while course.step is not None:
                self._go_on(course, streams)
        return course.value

    def iterate(self, flow: Flow[None]) -> Iterator[Any]:
        """Drive an operation and yield what it emits."""
        course = Course(flow)
        with closing(course), ExitStack() as streams:
            while course.step is not None:
                if isinstance(course.step, Emit):
                    yield course.step.value
                    course.proceed(None)
                else:
                    self._go_on(course, streams)

    def _go_on(self, course: Course[Any], streams: ExitStack) -> None:
        assert course.step is not None  # noqa: S101 - for the type checker
        try:
            answer = self._do(course.step, streams)
        except Exception as error:  # noqa: BLE001 - the operation decides
            course.fail(error)
        else:
            course.proceed(answer)

    def _do(self, step: Step, streams: ExitStack) -> Any:
        match step:
            case Call(request):
                return self._drive(answered(request, self.settings.retries))
            case Send(request):
                with _body(request) as content:
                    return self._http.send(self._built(request, content))
            case Sleep(seconds):
                return time.sleep(seconds)
            case Open(request):
                response = self._http.send(self._built(request, None), stream=True)
                streams.callback(response.close)
                if not response.is_success:
                    response.read()
                return Stream(response, response.iter_bytes())
            case NextChunk(stream):
                return next(stream.chunks, None)
            case Close(stream):
                return stream.response.close()
            case Work(function):
                return function()
            case Emit():
                raise TypeError("this operation is one to iterate over")

    def _built(self, request: Request, content: Any) -> httpx.Request:
        return self._http.build_request(**self.settings.request_options(request), content=content)


@contextmanager
def _body(request: Request) -> Iterator[Any]:
    """Yield what httpx takes as the body: a file is opened anew each time."""
    if isinstance(request.body, Path):
        with request.body.open("rb") as file:
            yield file
    else:
        yield request.body

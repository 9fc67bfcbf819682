"""Drives operations for asyncio and trio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
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
_CHUNK_BYTES = 256 * 1024


class AwaitingTransport:
    """A pool of connections to the service, for one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._http = httpx.AsyncClient(**settings.client_options())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Drive an operation to its end and return what it returns."""
        try:
            return await self._drive(flow)
        except DriftlineError as error:
            raise brief(error) from error.__cause__

    async def _drive(self, flow: Flow[T]) -> T:
        course = Course(flow)
        with closing(course):
            async with AsyncExitStack() as streams:
                while course.step is not None:
                    await self._go_on(course, streams)
        return course.value

    async def iterate(self, flow: Flow[None]) -> AsyncIterator[Any]:
        """Drive an operation and yield what it emits."""
        course = Course(flow)
        with closing(course):
            async with AsyncExitStack() as streams:
                while course.step is not None:
                    if isinstance(course.step, Emit):
                        yield course.step.value
                        course.proceed(None)
                    else:
                        await self._go_on(course, streams)

    async def _go_on(self, course: Course[Any], streams: AsyncExitStack) -> None:
        assert course.step is not None  # noqa: S101 - for the type checker
        try:
            answer = await self._do(course.step, streams)
        except Exception as error:  # noqa: BLE001 - the operation decides
            course.fail(error)
        else:
            course.proceed(answer)

    async def _do(self, step: Step, streams: AsyncExitStack) -> Any:
        match step:
            case Call(request):
                return await self._drive(answered(request, self.settings.retries))
            case Send(request):
                return await self._http.send(self._built(request))
            case Sleep(seconds):
                return await anyio.sleep(seconds)
            case Open(request):
                response = await self._http.send(self._built(request), stream=True)
                streams.push_async_callback(response.aclose)
                if not response.is_success:
                    await response.aread()
                return Stream(response, aiter(response.aiter_bytes()))
            case NextChunk(stream):
                return await anext(stream.chunks, None)
            case Close(stream):
                return await stream.response.aclose()
            case Work(function):
                return await anyio.to_thread.run_sync(function)
            case Emit():
                raise TypeError("this operation is one to iterate over")

    def _built(self, request: Request) -> httpx.Request:
        options = self.settings.request_options(request)
        if not isinstance(request.body, Path):
            return self._http.build_request(**options, content=request.body)
        options["headers"]["Content-Length"] = str(request.body.stat().st_size)
        return self._http.build_request(**options, content=_pieces(request.body))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    """Yield a file's content, read in threads; the file is opened anew each time."""
    async with await anyio.open_file(path, "rb") as file:
        while piece := await file.read(_CHUNK_BYTES):
            yield piece

"""The steps that operations ask of their driver, and the operation that is under way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Self, TypeAlias, TypeVar

import httpx

from driftline.core.plain import plain
from driftline.errors import ApiError, api_error

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A request, ready to be sent as often as it takes.

    Attributes:
        method: the HTTP method.
        path: below the base address.
        params: the query; None leaves a parameter out, a list repeats it.
        headers: besides those of the connection.
        body: bytes, or a file whose content is sent.
        repeatable: whether a repetition does no harm: reads, uploads of content, and writes with a key.
        extra_wait_s: seconds that the answer may take on top of the connection's timeout.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path | None = None
    repeatable: bool = False
    extra_wait_s: float = 0.0

    def once(self) -> Self:
        """Return the request with an `Idempotency-Key`: however often it is sent, it is done once."""
        key = os.urandom(16).hex()
        return replace(self, headers={**self.headers, "Idempotency-Key": key}, repeatable=True)

    def harmless(self) -> Self:
        """Return the request as one that changes nothing, whatever its method."""
        return replace(self, repeatable=True)


def get(
    path: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Request:
    """Return a read."""
    return Request("GET", path, params or {}, headers or {}, repeatable=True)


def post(path: str, value: Any = None, params: Mapping[str, Any] | None = None) -> Request:
    """Return a write of a JSON value; `Request.once` makes it repeatable.

    Raises:
        InvalidInput: the value cannot be written as JSON.
    """
    if value is None:
        return Request("POST", path, params or {})
    body = json.dumps(plain(value), allow_nan=False).encode()
    return Request("POST", path, params or {}, {"Content-Type": "application/json"}, body)


@dataclass(frozen=True)
class Call:
    """Send a request, again where that helps; the answer is a successful `httpx.Response`, or it raises."""

    request: Request


@dataclass(frozen=True)
class Send:
    """Send a request once; the answer is the `httpx.Response`, whatever it says."""

    request: Request


@dataclass(frozen=True)
class Open:
    """Send a request and read the answer's head alone; the answer is a `Stream`."""

    request: Request


@dataclass(frozen=True)
class NextChunk:
    """Read on in a stream; the answer is bytes, or None at its end."""

    stream: Stream


@dataclass(frozen=True)
class Close:
    """Close a stream."""

    stream: Stream


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Do something that takes long without input or output of the network; the answer is its result."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Emit:
    """Hand a value to whoever iterates."""

    value: Any


Step: TypeAlias = Call | Send | Open | NextChunk | Close | Sleep | Work | Emit
Flow: TypeAlias = Generator[Step, Any, T]


@dataclass
class Stream:
    """An answer whose head was read; `chunks` is the driver's own."""

    response: httpx.Response
    chunks: Any


def call(request: Request) -> Flow[httpx.Response]:
    """Send a request, again where that helps, and return the successful answer."""
    response: httpx.Response = yield Call(request)
    return response


def call_json(request: Request) -> Flow[Any]:
    """Send a request, again where that helps, and return the JSON object that was answered.

    Raises:
        ApiError: the answer is none, so that something else must be at this address.
    """
    response = yield from call(request)
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise foreign(response)
    return value


def foreign(response: httpx.Response) -> ApiError:
    """Return the exception of an answer that no Driftline service gives."""
    target = response.headers.get("location")
    told = f"it points to {target}" if target else response.text.strip()[:200] or response.reason_phrase
    detail = f"{response.url.copy_with(query=None)} is not answered by a Driftline service: {told}"
    return api_error(response.status_code, {"code": "http_error", "detail": detail})


def work(function: Callable[[], T]) -> Flow[T]:
    """Do something that takes long and return its result."""
    result: T = yield Work(function)
    return result


class Course(Generic[T]):
    """An operation that is under way: `step` is what it waits for, None once it is over."""

    step: Step | None
    value: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.proceed(None)

    def proceed(self, answer: Any) -> None:
        """Give the operation what came of its step."""
        self._advance(lambda: self._flow.send(answer))

    def fail(self, error: Exception) -> None:
        """Tell the operation that its step failed."""
        self._advance(lambda: self._flow.throw(error))

    def close(self) -> None:
        """End the operation where it is."""
        self._flow.close()

    def _advance(self, go_on: Callable[[], Step]) -> None:
        try:
            self.step = go_on()
        except StopIteration as end:
            self.step = None
            self.value = end.value

"""Answers that last, such as streams, end soon after what let their request in ends.

One look for all of them, about once a second, asks what every new request asks: a key that was withdrawn, has
expired or lost its scope ends the streams that it opened as soon as the service would refuse it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from app.kit.access import Admission, Caller, admission_of, refusal
from app.kit.problems import Problem, Unauthorized


class _Callers(Protocol):
    async def caller_of(self, connection: HTTPConnection) -> Caller | None:
        """Return who sent the request; None is nobody."""


class Permit:
    """What let a request in that lasts.

    Attributes:
        fault: why the service would refuse the request now; None while it would let it in.
    """

    def __init__(self, connection: HTTPConnection, admission: Admission) -> None:
        self.connection = connection
        self.admission = admission
        self.fault: Problem | None = None
        self._wake: Callable[[], object] | None = None

    def end(self, fault: Problem) -> None:
        """Say that the request would be refused now, and wake who waits."""
        self.fault = fault
        if self._wake is not None:
            self._wake()

    @contextmanager
    def ending(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call this when the permit ends while the block waits; at once where it has ended."""
        self._wake = wake
        try:
            if self.fault is not None:
                wake()
            yield
        finally:
            self._wake = None


class Permits:
    """The permits of one process. Belongs to one event loop.

    Args:
        callers: knows who sends a request.
        interval_s: time between two looks, in s.
    """

    def __init__(self, callers: _Callers, interval_s: float = 1.0) -> None:
        self._callers = callers
        self._interval_s = interval_s
        self._permits: WeakSet[Permit] = WeakSet()
        self._task: asyncio.Task[None] | None = None

    def of(self, connection: HTTPConnection) -> Permit:
        """Return the permit of a request that was let in; it is looked at for as long as somebody has it."""
        permit = Permit(connection, admission_of(connection))
        self._permits.add(permit)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        return permit

    async def close(self) -> None:
        """Look at no permit any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        try:
            while self._permits:
                await asyncio.sleep(self._interval_s)
                for permit in tuple(self._permits):
                    fault = None if permit.fault else await self._fault(permit)
                    if fault is not None:
                        permit.end(fault)
        finally:
            self._task = None

    async def _fault(self, permit: Permit) -> Problem | None:
        try:
            caller = await self._callers.caller_of(permit.connection)
        except Unauthorized as error:
            return error
        except SQLAlchemyError:  # nothing is known at present
            return None
        return refusal(caller, permit.admission)

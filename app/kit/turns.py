"""Turns: few at a time, fair among clients, and never a long queue."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import anyio

from app.kit.problems import Unavailable


class Turns:
    """Gives turns to a few at a time, and to each client only a few of those. Belongs to one event loop.

    Clients that wait get their turns in rotation, so that one that asks often keeps no other waiting.

    Args:
        at_once: turns at a time.
        at_once_each: turns at a time of one client.
        most_waiting: how many may wait; more are refused.
        retry_after_s: when a client that was refused may ask again.
    """

    def __init__(self, at_once: int, *, at_once_each: int, most_waiting: int, retry_after_s: int) -> None:
        self._at_once = at_once
        self._at_once_each = at_once_each
        self._most_waiting = most_waiting
        self._retry_after_s = retry_after_s
        self._going: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[anyio.Event]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, who: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and have it.

        Raises:
            Unavailable: too many wait already.
        """
        await self._wait(who)
        try:
            yield
        finally:
            self._going[who] -= 1
            self._go_on()

    async def _wait(self, who: Hashable) -> None:
        if sum(len(queue) for queue in self._waiting.values()) >= self._most_waiting:
            raise Unavailable(
                "the service is inspecting as many files as it can; send the file again later",
                code="too_busy",
                headers={"Retry-After": str(self._retry_after_s)},
            )
        event = anyio.Event()
        self._waiting.setdefault(who, deque()).append(event)
        self._go_on()
        try:
            await event.wait()
        except BaseException:
            if event.is_set():  # it had its turn, and is gone
                self._going[who] -= 1
            else:
                self._waiting[who].remove(event)
            self._go_on()
            raise

    def _go_on(self) -> None:
        """Give the turns that are free."""
        while self._going.total() < self._at_once:
            following = (one for one in self._waiting if self._waiting[one])
            who = next((one for one in following if self._going[one] < self._at_once_each), None)
            if who is None:
                break
            self._going[who] += 1
            self._waiting[who].popleft().set()
            self._waiting.move_to_end(who)
        for who in [one for one, queue in self._waiting.items() if not queue]:
            del self._waiting[who]
        self._going += Counter()  # forgets those of whom none goes

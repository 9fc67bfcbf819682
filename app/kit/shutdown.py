"""Noticing the server's end in time.

A server that should stop first waits for the answers under way, and notifies the application afterwards.
Answers that wait for something would hold it up, so the application acts on the signal itself.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def when_told_to_stop(action: Callable[[], None]) -> Iterator[None]:
    """Do something on the event loop when the server gets a signal to stop, before it handles that itself.

    Outside the main thread, as in tests, no signals arrive and nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    servers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(action)
        servers[number](number, frame)

    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            servers[number] = handler
            signal.signal(number, handle)
    try:
        yield
    finally:
        for one, handler in servers.items():
            signal.signal(one, handler)

"""HTTP on the wire: the head of a request must arrive in time."""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_TOO_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to its patience.

    uvicorn waits for ever for the first byte of a connection, and for the end of a head that has begun.
    Between two requests its own `timeout_keep_alive` holds.
    """

    head_s = 20.0  # from the opening of a connection, or the first byte of a request, to the end of its head
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and look whether a head is complete, or has begun."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Look whether the head of the next request is there in part already."""
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._waiting is None and self._has_begun():
            self._wait()

    def _has_begun(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.transport.is_closing():
            return
        if self._has_begun():
            self.transport.write(_TOO_LATE)
        self.transport.close()

"""Writers of one SQLite file, one after the other in the order in which they came.

SQLite lets one write at a time; the others look again after pauses that grow, so whoever comes last may be
next, and the first waits for seconds. Within a process they queue up here instead. Writers of other
processes still find their chance between two.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

_TURN: Final = "driftline_write_turn"


class WriteTurns:
    """Lets threads in one after the other.

    Args:
        longest_wait_s: who has waited so long goes on without a turn, and meets SQLite's own lock.
    """

    def __init__(self, longest_wait_s: float) -> None:
        self._longest_wait_s = longest_wait_s
        self._mutex = Lock()
        self._is_taken = False
        self._gates: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait at the moment."""
        return len(self._gates)

    def take(self) -> bool:
        """Wait for the turn; return whether it is had."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            gate = Lock()
            gate.acquire()
            self._gates.append(gate)
        if gate.acquire(timeout=self._longest_wait_s):
            return True
        with self._mutex:
            if gate in self._gates:
                self._gates.remove(gate)
                return False
        return True  # it was given at the last moment

    def give(self) -> None:
        """Give the turn to who has waited longest."""
        with self._mutex:
            if self._gates:
                self._gates.popleft().release()
            else:
                self._is_taken = False

    def begin(self, connection: Connection) -> None:
        """Wait for the turn of a connection that begins to write; it ends when the pool has it back."""
        kept = connection.connection.record_info
        if kept is not None and not kept.get(_TURN):
            kept[_TURN] = self.take()

    def end_with(self, engine: Engine) -> None:
        """Let turns end when the engine's connections come back to its pool, however they do."""

        def give_back(connection: Any, record: Any) -> None:
            del connection
            if record.record_info.pop(_TURN, False):
                self.give()

        event.listen(engine, "checkin", give_back)

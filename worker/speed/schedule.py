"""Has this machine's speed measured, once, while nothing else runs on it."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading

from app.db.session import Database
from app.db.tables import Speed
from worker.protocol import SPEED_REVISION

log = logging.getLogger(__name__)


class Gauge:
    """Measures the machine's speed when the worker is idle, gives way to work, and stores what was found.

    Args:
        database: where the speed of each kind of machine is kept.
        threads: of a work item.
    """

    def __init__(self, database: Database, threads: int) -> None:
        self._database = database
        self._threads = threads
        self._place = (socket.gethostname(), threads)
        self._child: subprocess.Popen[bytes] | None = None
        self._done = False
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Start the measurement if there is need, or see whether it has ended; returns soon."""
        with self._lock:
            if self._done:
                return
            if self._child is None:
                self._done = self._is_known()
                if not self._done:
                    command = [sys.executable, "-m", "worker.speed.measure", str(self._threads)]
                    self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            elif self._child.poll() is not None:
                self._done = True
                self._take(self._child)

    def give_way(self) -> None:
        """End a measurement in progress: work has come, and would be measured too. It is begun anew later."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child.communicate()
                self._child = None

    def _is_known(self) -> bool:
        with self._database.reading() as session:
            known = session.get(Speed, self._place)
        return known is not None and known.revision == SPEED_REVISION

    def _take(self, child: subprocess.Popen[bytes]) -> None:
        output, _ = child.communicate()
        self._child = None
        if child.returncode != 0:
            log.error("this machine's speed could not be measured; dry runs give no time")
            return
        with self._database.transaction() as session:
            row = session.get(Speed, self._place) or Speed(hostname=self._place[0], threads=self._threads)
            row.revision, row.measured = SPEED_REVISION, json.loads(output)
            session.add(row)

"""The worker's hold on its zygote: starts the process when it is needed, and connects to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from worker.protocol import Abilities, LineReader, receive, send

_START_S = 120.0


class ZygoteHandle:
    """Starts the zygote when it is needed and connects to it.

    Args:
        module: the module that runs as the zygote; it gets the path of its socket as its only argument.
    """

    def __init__(self, module: str = "worker.supervision.zygote") -> None:
        self._module = module
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        # A short path of our own: unix socket addresses are limited to about 100 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="driftline-"))
        self._started = 0

    def start(self) -> Path:
        """Start the zygote unless it runs; return its socket."""
        with self._lock:
            path = self._folder / f"zygote-{self._started}"
            if self._process is None or self._process.poll() is not None:
                self._close_stdin()
                self._started += 1
                path = self._folder / f"zygote-{self._started}"
                environment = {
                    "OPENBLAS_NUM_THREADS": "1",
                    **os.environ,
                }  # a thread pool would not survive a fork
                self._process = subprocess.Popen(
                    [sys.executable, "-m", self._module, str(path)],
                    stdin=subprocess.PIPE,
                    env=environment,
                )
            return path

    def connect(self) -> socket.socket:
        """Return a connection to the zygote, which is started first if it is not there.

        Raises:
            OSError: the zygote does not start.
        """
        deadline = time.monotonic() + _START_S
        while True:
            path = self.start()
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return connection

    def abilities(self) -> Abilities:
        """Return what this machine is able to do; waits until the zygote has imported everything.

        Raises:
            OSError: the zygote does not start, or ended meanwhile.
        """
        reader = LineReader()
        with self.connect() as connection:
            connection.settimeout(_START_S)
            send(connection, {"abilities": {}})
            while data := receive(connection):
                for message in reader.feed(data):
                    found = message["abilities"]
                    return Abilities(tuple(found["devices"]), tuple(found["loops"]), found["missing"])
        raise ConnectionError("the zygote ended before it said what it is able to do")

    def close(self) -> None:
        """End the zygote and its runners."""
        with self._lock:
            if self._process is not None:
                self._close_stdin()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(5)
                if self._process.poll() is None:
                    self._process.kill()
                    self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _close_stdin(self) -> None:
        """Let the zygote leave, or let go of the pipe to one that has died."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

"""Keeps a work item while its runner works: renews the lease, passes on stops, and tells when it crashed."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from app.db.session import Database
from app.jobs import items
from app.jobs.items import Failure, Lease, LeaseLost
from app.settings import Settings
from worker.protocol import EXIT_OUT_OF_MEMORY, EXIT_TOLD, LineReader, RunRequest, send

log = logging.getLogger(__name__)

_ZYGOTE_START_S = 120.0
_LOOK_S = 0.5


class ZygoteHandle:
    """Starts the zygote when it is needed and connects to it."""

    def __init__(self) -> None:
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
                self._started += 1
                path = self._folder / f"zygote-{self._started}"
                environment = {
                    "OPENBLAS_NUM_THREADS": "1",
                    **os.environ,
                }  # a thread pool would not survive a fork
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "worker.zygote", str(path)], stdin=subprocess.PIPE, env=environment
                )
            return path

    def connect(self) -> socket.socket:
        """Return a connection to the zygote, which is started first if it is not there.

        Raises:
            OSError: the zygote does not start.
        """
        deadline = time.monotonic() + _ZYGOTE_START_S
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

    def close(self) -> None:
        """End the zygote and its runners."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(5)
                if self._process.poll() is None:
                    self._process.kill()
                    self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)


@dataclass
class _Stop:
    """When a runner that should stop is told so: SIGTERM at a time, SIGKILL a grace later."""

    at: float
    grace_s: float
    _sent: int = 0

    def due(self, now: float) -> int | None:
        """Return the signal to send now, each once."""
        for index, number in enumerate((signal.SIGTERM, signal.SIGKILL)):
            if self._sent == index and now >= self.at + index * self.grace_s:
                self._sent = index + 1
                return number
        return None


class Supervisor:
    """Does the work items of one worker, each in a runner of its own."""

    def __init__(self, settings: Settings, database: Database, zygote: ZygoteHandle) -> None:
        self._settings = settings
        self._database = database
        self._zygote = zygote
        self.shutting_down = threading.Event()

    def carry(self, lease: Lease) -> None:
        """Run the item to its end, or to the loss of its lease; the database knows the outcome afterwards."""
        request = RunRequest(
            lease=lease,
            database_url=self._settings.resolved_database_url,
            blob_folder=str((self._settings.data_dir / "blobs").absolute()),
            memory_bytes=self._settings.item_memory_bytes,
        )
        try:
            status = self._run(lease, request)
        except OSError as error:
            log.exception("the runner could not be started")
            status = None
            crash = Failure("worker_lost", f"the runner could not be started: {error}", retryable=True)
        else:
            crash = _crash_failure(status)
        if status == EXIT_TOLD:
            return
        with contextlib.suppress(LeaseLost), self._database.transaction() as session:
            if self.shutting_down.is_set():
                items.release(session, lease)
            elif items.stop_requested(session, lease):
                items.stopped(session, lease)
            else:
                log.warning("the runner of %s ended with status %s", lease.key, status)
                items.crash(session, lease, crash, max_attempts=self._settings.max_attempts)

    def _run(self, lease: Lease, request: RunRequest) -> int | None:
        """Return the runner's exit status; None when the zygote died with it."""
        reader = LineReader()
        started = time.monotonic()
        beat_at = started + self._settings.heartbeat_s
        stop: _Stop | None = None
        with self._zygote.connect() as connection:
            send(connection, {"run": request.to_json()})
            while True:
                wait = max(0.0, min(beat_at - time.monotonic(), _LOOK_S))
                if select.select([connection], [], [], wait)[0]:
                    data = connection.recv(65536)
                    if not data:
                        return None
                    for message in reader.feed(data):
                        return int(message["exit"])
                now = time.monotonic()
                if now - started > self._settings.item_timeout_s:
                    self._time_out(lease)
                    started = now  # said once; the next heartbeat finds the lease gone
                if now >= beat_at:
                    beat_at = now + self._settings.heartbeat_s
                    stop = self._beat(lease, connection, stop)
                if stop is None and self.shutting_down.is_set():
                    stop = _Stop(now, self._settings.cancel_grace_s)  # the runner does not know: tell it now
                if stop is not None and (number := stop.due(now)) is not None:
                    _signal(connection, number)

    def _beat(self, lease: Lease, connection: socket.socket, stop: _Stop | None) -> _Stop | None:
        """Renew the lease; kill the runner when it is lost, and watch whether it should stop."""
        if not self._renew(lease):
            log.info("%s is no longer ours; its runner is killed", lease.key)
            _signal(connection, signal.SIGKILL)
        elif stop is None and self._should_stop(lease):
            grace_s = self._settings.cancel_grace_s
            return _Stop(time.monotonic() + grace_s, grace_s)
        return stop

    def _renew(self, lease: Lease) -> bool:
        try:
            with self._database.transaction() as session:
                return items.renew(session, lease, lease_s=self._settings.lease_s)
        except Exception:
            # The database is away for a moment; the lease runs on, and the fence protects what is there.
            log.exception("could not renew the lease of %s", lease.key)
            return True

    def _should_stop(self, lease: Lease) -> bool:
        with self._database.reading() as session:
            return items.stop_requested(session, lease)

    def _time_out(self, lease: Lease) -> None:
        limit = self._settings.item_timeout_s
        failure = Failure(
            "timeout", f"a work item ran longer than {limit:g} s; split the job or make it smaller"
        )
        with contextlib.suppress(LeaseLost), self._database.transaction() as session:
            items.fail(session, lease, failure)


def _signal(connection: socket.socket, number: int) -> None:
    """Have the runner signalled; one that has just ended needs no signal, its status is still to be read."""
    with contextlib.suppress(ConnectionError):
        send(connection, {"signal": number})


def _crash_failure(status: int | None) -> Failure:
    if status == EXIT_OUT_OF_MEMORY:
        return Failure(
            "out_of_memory",
            "a work item ran out of memory; lower evaluate.batch_size or finetune.batch_size",
            retryable=True,
        )
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return Failure(
            "worker_lost",
            f"the runner was killed by {name}, which for SIGKILL often means too little memory on the worker",
            retryable=True,
        )
    return Failure("worker_lost", "the runner ended unexpectedly; see the worker's log", retryable=True)

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
from enum import StrEnum
from pathlib import Path

from sqlalchemy.orm import Session

from app.db.session import Database, is_transient
from app.engine import items
from app.engine.items import Failure, Lease, LeaseLost
from app.engine.outage import Outage
from app.settings import Settings
from worker.protocol import (
    EXIT_DATABASE_AWAY,
    EXIT_OUT_OF_MEMORY,
    EXIT_STORAGE_FULL,
    EXIT_TOLD,
    Abilities,
    LineReader,
    RunRequest,
    send,
)

log = logging.getLogger(__name__)

_ZYGOTE_START_S = 120.0
_LOOK_S = 0.5


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

    def abilities(self) -> Abilities:
        """Return what this machine is able to do; waits until the zygote has imported everything.

        Raises:
            OSError: the zygote does not start, or ended meanwhile.
        """
        reader = LineReader()
        with self.connect() as connection:
            connection.settimeout(_ZYGOTE_START_S)
            send(connection, {"abilities": {}})
            while data := connection.recv(65536):
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


class Outcome(StrEnum):
    """How carrying an item ended, as the log says it."""

    TOLD = "ended"
    GIVEN_BACK = "was given back"
    STORAGE_FULL = "was given back, since the storage is full"
    CRASHED = "crashed"
    LOST = "went to another worker"
    UNTOLD = "ended while the database was away"


@dataclass(frozen=True)
class _Heard:
    """What the database says of an item while its runner works."""

    is_ours: bool
    should_stop: bool
    is_silent: bool


@dataclass
class _Deadline:
    """A moment on the monotonic clock that passes once."""

    at: float
    _has_passed: bool = False

    def passes(self, now: float) -> bool:
        """Tell, once, that the deadline has passed."""
        if self._has_passed or now < self.at:
            return False
        self._has_passed = True
        return True


class _Stop:
    """When a runner that should stop is told so: SIGTERM at a time, SIGKILL a grace later."""

    def __init__(self, at: float, grace_s: float) -> None:
        self._signals = (
            (signal.SIGTERM, _Deadline(at)),
            (signal.SIGKILL, _Deadline(at + grace_s)),
        )

    def due(self, now: float) -> int | None:
        """Return the signal to send now, each once."""
        return next((number for number, deadline in self._signals if deadline.passes(now)), None)


class Supervisor:
    """Does the work items of one worker, each in a runner of its own."""

    def __init__(self, settings: Settings, database: Database, zygote: ZygoteHandle) -> None:
        self._settings = settings
        self._database = database
        self._zygote = zygote
        self.shutting_down = threading.Event()

    def carry(self, lease: Lease) -> Outcome:
        """Run the item to its end, or to the loss of its lease; the database knows the outcome afterwards."""
        request = RunRequest(
            lease=lease,
            lease_s=self._settings.lease_s,
            database_url=self._settings.resolved_database_url,
            blob_folder=str((self._settings.data_dir / "blobs").absolute()),
            memory_bytes=self._settings.item_memory_bytes,
        )
        run = _Run(self._settings, self._database, lease, self.shutting_down)
        try:
            with self._zygote.connect() as connection:
                status = run.attend(connection, request)
        except OSError as error:
            log.exception("job %s: the runner of %s could not be started", lease.job_id, lease.key)
            crash = Failure("worker_lost", f"the runner could not be started: {error}", retryable=True)
            return self._settle(lease, None, crash)
        if status == EXIT_TOLD:
            return Outcome.TOLD
        return self._settle(lease, status, run.failure or _crash_failure(status))

    def _settle(self, lease: Lease, status: int | None, crash: Failure) -> Outcome:
        """Tell the database how a runner ended that did not tell it itself."""

        def settle(session: Session) -> Outcome:
            if self.shutting_down.is_set():
                items.release(session, lease)
                return Outcome.GIVEN_BACK
            if items.stop_requested(session, lease):
                items.stopped(session, lease)
                return Outcome.TOLD
            if status == EXIT_STORAGE_FULL:
                items.release(session, lease, reason="storage_full")
                return Outcome.STORAGE_FULL
            if crash.retryable:
                items.crash(session, lease, crash, max_attempts=self._settings.max_attempts)
            else:  # another attempt would end in the same way
                items.fail(session, lease, crash)
            return Outcome.CRASHED

        try:
            outcome = self._database.retrying(settle, for_s=self._settings.lease_s, what=lease.key)
        except LeaseLost:
            return Outcome.LOST
        except Exception as error:
            if not is_transient(error):
                raise
            return Outcome.UNTOLD  # the lease runs out, and the item is taken back
        if outcome is Outcome.CRASHED:
            told = "job %s: the runner of %s ended with status %s: %s"
            log.warning(told, lease.job_id, lease.key, status, crash.message)
        return outcome


class _Run:
    """A runner at work: renews its lease, passes on stops, notices when it hangs."""

    def __init__(
        self, settings: Settings, database: Database, lease: Lease, shutting_down: threading.Event
    ) -> None:
        self._settings = settings
        self._database = database
        self._lease = lease
        self._shutting_down = shutting_down
        self._stop: _Stop | None = None
        self._outage = Outage(log, f"renewing the lease of {lease.key} of job {lease.job_id}")
        self.failure: Failure | None = None  # why it was killed, where that was decided here

    def attend(self, connection: socket.socket, request: RunRequest) -> int | None:
        """Have the item run; return the runner's exit status, None when the zygote died with it."""
        settings, reader = self._settings, LineReader()
        started = time.monotonic()
        limit = _Deadline(started + settings.item_timeout_s)
        beat_at = started + settings.heartbeat_s
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
            if limit.passes(now):
                self._time_out(connection)
            if now >= beat_at:
                beat_at = now + settings.heartbeat_s
                self._beat(connection)
            if self._stop is None and self._shutting_down.is_set():
                self._stop = _Stop(now, settings.cancel_grace_s)  # the runner does not know: tell it now
            if self._stop is not None and (number := self._stop.due(now)) is not None:
                _signal(connection, number)

    def _beat(self, connection: socket.socket) -> None:
        """Renew the lease; kill the runner when it is lost or hangs, and watch whether it should stop."""
        heard = self._hear()
        if heard is None:
            return
        if not heard.is_ours:
            log.info(
                "job %s: %s is no longer ours; its runner is killed", self._lease.job_id, self._lease.key
            )
            _signal(connection, signal.SIGKILL)
        elif heard.is_silent:
            silence_s = self._settings.item_silence_s
            self.failure = Failure(
                "stalled", f"a work item gave no sign of life for {silence_s:g} s", retryable=True
            )
            _signal(connection, signal.SIGKILL)
        elif heard.should_stop and self._stop is None:
            grace_s = self._settings.cancel_grace_s
            self._stop = _Stop(time.monotonic() + grace_s, grace_s)

    def _hear(self) -> _Heard | None:
        """Renew the lease and look at the item; None when the database is away for a moment.

        The lease runs on then, and the fence protects what is there.
        """
        lease = self._lease
        try:
            with self._database.transaction() as session:
                is_ours = items.renew(session, lease, lease_s=self._settings.lease_s)
                heard = _Heard(
                    is_ours,
                    should_stop=items.stop_requested(session, lease),
                    is_silent=items.is_silent(session, lease, for_s=self._settings.item_silence_s),
                )
        except Exception as error:  # noqa: BLE001 - it is said, and tried at the next heartbeat
            self._outage.failed(error)
            return None
        self._outage.worked()
        return heard

    def _time_out(self, connection: socket.socket) -> None:
        limit_s = self._settings.item_timeout_s
        self.failure = Failure(
            "timeout", f"a work item ran longer than {limit_s:g} s; split the job or make it smaller"
        )
        _signal(connection, signal.SIGKILL)


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
    if status == EXIT_DATABASE_AWAY:
        return Failure("database_away", "the database was away for longer than a lease", retryable=True)
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return Failure(
            "worker_lost",
            f"the runner was killed by {name}, which for SIGKILL often means too little memory on the worker",
            retryable=True,
        )
    return Failure("worker_lost", "the runner ended unexpectedly; see the worker's log", retryable=True)

"""Watches runners at work: renews their leases, passes on stops, and records crashes."""

from __future__ import annotations

import contextlib
import logging
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from sqlalchemy.orm import Session

from app.db.session import Database, is_transient
from app.engine.items import endings, leases
from app.engine.items.changes import Failure
from app.engine.items.leases import Lease, LeaseLost
from app.engine.outage import Outage
from app.engine.states import ItemState
from app.monitoring import traces
from app.settings import Settings
from worker.protocol import (
    EXIT_DATABASE_AWAY,
    EXIT_OUT_OF_MEMORY,
    EXIT_RECORDED,
    EXIT_STORAGE_FULL,
    LineReader,
    RunRequest,
    receive,
    send,
)
from worker.supervision.handle import ZygoteHandle

log = logging.getLogger(__name__)

Counted = Callable[[int, int], None]  # of cells and sample-forwards, since the last call

_LOOK_S = 0.5


def _uncounted(cells: int, samples: int) -> None:
    del cells, samples


class Outcome(StrEnum):
    """How carrying an item ended, as the log says it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "was cancelled"
    ENDED = "ended"
    GIVEN_BACK = "was given back"
    STORAGE_FULL = "was given back, since the storage takes nothing"
    CRASHED = "crashed"
    LOST = "went to another worker"
    UNRECORDED = "ended while the database was away"


_RECORDED = {
    ItemState.SUCCEEDED: Outcome.SUCCEEDED,
    ItemState.FAILED: Outcome.FAILED,
    ItemState.CANCELLED: Outcome.CANCELLED,
    ItemState.QUEUED: Outcome.GIVEN_BACK,
    ItemState.BLOCKED: Outcome.GIVEN_BACK,
}


@dataclass(frozen=True)
class _Look:
    """The state of an item in the database while its runner works."""

    is_ours: bool
    should_stop: bool
    is_silent: bool


@dataclass
class _Deadline:
    """A moment on the monotonic clock that passes once."""

    at: float
    _has_passed: bool = False

    def passes(self, now: float) -> bool:
        """Return whether the deadline has passed; true only once."""
        if self._has_passed or now < self.at:
            return False
        self._has_passed = True
        return True


class _Stop:
    """The signals to a runner that should stop: SIGTERM at a time, SIGKILL a grace period later."""

    def __init__(self, at: float, grace_s: float) -> None:
        self._signals = (
            (signal.SIGTERM, _Deadline(at)),
            (signal.SIGKILL, _Deadline(at + grace_s)),
        )

    def due(self, now: float) -> int | None:
        """Return the signal to send now, each once."""
        return next((number for number, deadline in self._signals if deadline.passes(now)), None)


@dataclass(frozen=True)
class _Runner:
    """A runner process, reached through the zygote.

    Attributes:
        connection: to the zygote; the process ends when it is closed.
        job_id: the job whose model and data it holds.
    """

    connection: socket.socket
    job_id: str

    def is_there(self) -> bool:
        """Return whether the process, which waits for an item, still lives: nothing has arrived since."""
        return not select.select([self.connection], [], [], 0)[0]


class Supervisor:
    """Does the work items of one worker, as many at once as it has slots."""

    def __init__(
        self, settings: Settings, database: Database, zygote: ZygoteHandle, counted: Counted = _uncounted
    ) -> None:
        self._settings = settings
        self._database = database
        self._zygote = zygote
        self._counted = counted
        self.shutting_down = threading.Event()

    def slot(self) -> Slot:
        """Return a new slot; to be closed, or used in a `with` statement."""
        return Slot(self._settings, self._database, self._zygote, self.shutting_down, self._counted)


class Slot:
    """Does one item after another.

    A runner whose item has succeeded waits for the next item of the same job: it has imported the model and
    loaded the data. In every other case an item gets a fresh runner.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        zygote: ZygoteHandle,
        shutting_down: threading.Event,
        counted: Counted = _uncounted,
    ) -> None:
        self._settings = settings
        self._database = database
        self._zygote = zygote
        self._shutting_down = shutting_down
        self._counted = counted
        self._runner: _Runner | None = None  # at work, or waiting

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the runner, if there is one."""
        if self._runner is not None:
            self._runner.connection.close()
            self._runner = None

    def carry(self, lease: Lease) -> Outcome:
        """Run the item to its end, or to the loss of its lease; the database knows the outcome afterwards."""
        request = RunRequest(
            lease=lease,
            lease_s=self._settings.lease_s,
            database_url=self._settings.resolved_database_url,
            blobs=self._settings.blobs,
            memory_bytes=self._settings.item_memory_bytes,
            log_format=self._settings.log_format,
            log_level=self._settings.log_level,
            traces_url=self._settings.traces_url,
            trace=traces.here(),
        )
        run = _Run(self._settings, self._database, lease, self._shutting_down, self._counted)
        try:
            status = self._do(run, request)
        except OSError as error:
            log.exception("its runner could not be started")
            crash = Failure("worker_lost", f"the runner could not be started: {error}", retryable=True)
            return self._settle(lease, None, crash)
        if run.is_done:
            return Outcome.SUCCEEDED
        if status == EXIT_RECORDED:
            return self._recorded(lease)
        return self._settle(lease, status, run.failure or _crash_failure(status))

    def _recorded(self, lease: Lease) -> Outcome:
        """Return how the runner says in the database that the item ended."""
        try:
            with self._database.reading() as session:
                state = leases.state_under(session, lease)
        except Exception as error:
            if not is_transient(error):
                raise
            return Outcome.ENDED
        return Outcome.LOST if state is None else _RECORDED.get(state, Outcome.LOST)

    def _do(self, run: _Run, request: RunRequest) -> int | None:
        """Have the item done, by the runner that waits if it knows the job; return the exit status."""
        job_id, waiting = request.lease.job_id, self._runner
        if waiting is not None and waiting.job_id == job_id and waiting.is_there():
            status = self._attend(run, request)
            if status != EXIT_OUT_OF_MEMORY or run.has_signalled:
                return status
            log.info("it ran out of memory and gets a fresh runner")
        self.close()
        self._runner = _Runner(self._zygote.connect(), job_id)
        return self._attend(run, request)

    def _attend(self, run: _Run, request: RunRequest) -> int | None:
        """Attend to the slot's runner until the item has ended; keep it if it can do another one."""
        assert self._runner is not None  # noqa: S101 - narrows the type
        can_go_on = False
        try:
            status = run.attend(self._runner.connection, request)
            can_go_on = run.is_done and not run.has_signalled
        finally:
            if not can_go_on:
                self.close()
        return status

    def _settle(self, lease: Lease, status: int | None, crash: Failure) -> Outcome:
        """Record in the database how a runner ended that did not record it itself."""

        def settle(session: Session) -> Outcome:
            if self._shutting_down.is_set():
                endings.release(session, lease)
                return Outcome.GIVEN_BACK
            if leases.stop_requested(session, lease):
                endings.stopped(session, lease)
                return Outcome.CANCELLED
            if status == EXIT_STORAGE_FULL:
                endings.release(session, lease, reason="storage_full")
                return Outcome.STORAGE_FULL
            if crash.retryable:
                endings.crash(session, lease, crash, max_attempts=self._settings.max_attempts)
            else:  # another attempt would end in the same way
                endings.fail(session, lease, crash)
            return Outcome.CRASHED

        try:
            outcome = self._database.retrying(settle, for_s=self._settings.lease_s, what=lease.key)
        except LeaseLost:
            return Outcome.LOST
        except Exception as error:
            if not is_transient(error):
                raise
            return Outcome.UNRECORDED  # the lease runs out, and the item is taken back
        if outcome is Outcome.CRASHED:
            log.warning("its runner ended with status %s: %s", status, crash.message)
        return outcome


class _Run:
    """One item on its runner: renews the lease, passes on stops, notices when the runner hangs."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        lease: Lease,
        shutting_down: threading.Event,
        counted: Counted,
    ) -> None:
        self._settings = settings
        self._database = database
        self._lease = lease
        self._shutting_down = shutting_down
        self._counted = counted
        self._stop: _Stop | None = None
        self._limit: _Deadline | None = None
        self._outage = Outage(log, f"renewing the lease of {lease.key} of job {lease.job_id}")
        self.failure: Failure | None = None  # why it was killed, where that was decided here
        self.is_done = False  # whether the item has succeeded and its runner waits for another one
        self.has_signalled = False

    def attend(self, connection: socket.socket, request: RunRequest) -> int | None:
        """Have the item run; return the runner's exit status, None when the zygote died with it."""
        settings, reader = self._settings, LineReader()
        now = time.monotonic()
        limit = self._limit = self._limit or _Deadline(now + settings.item_timeout_s)
        beat_at = now + settings.heartbeat_s
        with contextlib.suppress(ConnectionError):  # whoever has just died is noticed below
            send(connection, {"run": request.to_json()})
        while True:
            wait = max(0.0, min(beat_at - time.monotonic(), _LOOK_S))
            if select.select([connection], [], [], wait)[0]:
                data = receive(connection)
                if not data:
                    return None
                status = self._hear(reader.feed(data))
                if status is not None:
                    return status
            now = time.monotonic()
            if limit.passes(now):
                self._time_out(connection)
            if now >= beat_at:
                beat_at = now + settings.heartbeat_s
                self._beat(connection)
            if self._stop is None and self._shutting_down.is_set():
                self._stop = _Stop(now, settings.cancel_grace_s)  # the runner does not know of the shutdown
            if self._stop is not None and (number := self._stop.due(now)) is not None:
                self._signal(connection, number)

    def _hear(self, messages: list[dict[str, Any]]) -> int | None:
        """Take note of what the runner or the zygote says; return the exit status if the item has ended."""
        for message in messages:
            if "counted" in message:
                self._counted(message["counted"]["cells"], message["counted"]["samples"])
            elif "done" in message:
                self.is_done = True
                return EXIT_RECORDED
            else:
                return int(message["exit"])
        return None

    def _beat(self, connection: socket.socket) -> None:
        """Renew the lease; kill the runner when it is lost or hangs, and watch whether it should stop."""
        look = self._look()
        if look is None:
            return
        if not look.is_ours:
            log.info("it is no longer ours; its runner is killed")
            self._signal(connection, signal.SIGKILL)
        elif look.is_silent:
            silence_s = self._settings.item_silence_s
            self.failure = Failure(
                "stalled", f"a work item gave no sign of life for {silence_s:g} s", retryable=True
            )
            self._signal(connection, signal.SIGKILL)
        elif look.should_stop and self._stop is None:
            grace_s = self._settings.cancel_grace_s
            self._stop = _Stop(time.monotonic() + grace_s, grace_s)

    def _look(self) -> _Look | None:
        """Renew the lease and look at the item; None when the database is away for a moment.

        The lease runs on then, and the fence protects what is there.
        """
        lease = self._lease
        try:
            with self._database.transaction() as session:
                is_ours = leases.renew(session, lease, lease_s=self._settings.lease_s)
                # Its runner reports the success next, and must not be killed before.
                is_ours = is_ours or leases.has_succeeded(session, lease)
                look = _Look(
                    is_ours,
                    should_stop=leases.stop_requested(session, lease),
                    is_silent=leases.is_silent(session, lease, for_s=self._settings.item_silence_s),
                )
        except Exception as error:  # noqa: BLE001 - logged, and tried at the next heartbeat
            self._outage.failed(error)
            return None
        self._outage.worked()
        return look

    def _time_out(self, connection: socket.socket) -> None:
        limit_s = self._settings.item_timeout_s
        self.failure = Failure(
            "timeout", f"a work item ran longer than {limit_s:g} s; split the job or make it smaller"
        )
        self._signal(connection, signal.SIGKILL)

    def _signal(self, connection: socket.socket, number: int) -> None:
        """Have the runner signalled; one that has just ended needs none, its status is still to be read."""
        self.has_signalled = True
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

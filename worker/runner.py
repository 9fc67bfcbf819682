"""A runner: the process that does one work item and tells the database everything it finds."""

from __future__ import annotations

import errno
import logging
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from sqlalchemy.orm import Session

from app.db.blobs import BlobStore
from app.db.session import Database
from app.db.tables import Job, Model, WorkItem
from app.jobs import items, recording
from app.jobs.items import Failure, Lease, LeaseLost
from app.jobs.states import JobState
from simulator.intake import IntakeError
from simulator.memory import keep_freed_memory
from worker.protocol import EXIT_OUT_OF_MEMORY, EXIT_TOLD, RunRequest

log = logging.getLogger(__name__)

_TAKE_OVER_S = 60.0  # how long a runner takes over other items: its start is little against that
_LOOK_S = 0.5  # how often the database is asked whether to stop, and told the progress


class Stopped(Exception):  # noqa: N818 - not a fault
    """The item should stop: its job is being cancelled, or the worker shuts down."""


class ItemFailedError(Exception):
    """The item cannot be done, for a reason that a user can read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


class Work:
    """The item as its step sees it: what is to be done, and where to put what was found."""

    def __init__(self, request: RunRequest) -> None:
        self.lease: Lease = request.lease
        self.blobs = BlobStore(Path(request.blob_folder))
        self._database = Database(request.database_url)
        self._terminated = False
        self._looked_at = 0.0
        self._told_at = self._started_at = time.monotonic()
        with self.transaction() as session:
            self.job: Job
            self.item: WorkItem
            self.model: Model
            self.job, self.item, self.model = recording.load_item(session, self.lease)
            self._done = self.item.progress_done
            self.dataset_row = recording.dataset_of(session, self.job)
        signal.signal(signal.SIGTERM, self._on_terminate)

    @property
    def payload(self) -> dict[str, Any]:
        """What the plan says of this item."""
        return self.lease.payload

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session; what is written in it is committed together."""
        with self._database.transaction() as session:
            yield session

    def check_stop(self) -> None:
        """Raise Stopped when the item should stop; asks the database now and then."""
        now = time.monotonic()
        if not self._terminated and now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        if self._terminated:
            raise Stopped
        with self._database.reading() as session:
            if items.stop_requested(session, self.lease):
                raise Stopped

    def advance(self, samples: int) -> None:
        """Count sample-forwards; the database hears of them now and then."""
        self._done += samples
        now = time.monotonic()
        if now - self._told_at >= _LOOK_S:
            self._told_at = now
            with self.transaction() as session:
                recording.save_progress(session, self.lease, self._done)

    def take_over(self) -> list[list[int]]:
        """Return ranges of chip instances that this evaluation item goes on with; see `items.take_over`."""
        if time.monotonic() - self._started_at > _TAKE_OVER_S:
            return []
        with self.transaction() as session:
            ranges, done = items.take_over(session, self.lease)
        self._done += done
        return ranges

    def set_done(self, done: int) -> None:
        """Say how far the item really is, for example after going back to a checkpoint."""
        self._done = done

    def save_artifact(self, name: str, media_type: str, data: bytes) -> None:
        """Store a file of the job."""
        key = f"jobs/{self.job.id}/artifacts/{name}"
        sha256 = self.blobs.write(key, data)
        with self.transaction() as session:
            recording.save_artifact(
                session,
                self.lease,
                name=name,
                media_type=media_type,
                size_bytes=len(data),
                sha256=sha256,
                blob_key=key,
            )

    def finish(self) -> None:
        """Mark the item as done."""
        with self.transaction() as session:
            items.succeed(session, self.lease)

    def fail(self, failure: Failure) -> None:
        """Mark the item and its job as failed."""
        with self.transaction() as session:
            items.fail(session, self.lease, failure)

    def give_back(self) -> None:
        """Note that this runner stops: the item is cancelled with its job, or goes back to the queue."""
        with self.transaction() as session:
            job, _ = items.hold(session, self.lease)
            if job.state == JobState.CANCELLING:
                items.stopped(session, self.lease)
            else:
                items.release(session, self.lease)

    def _on_terminate(self, *_: object) -> None:
        self._terminated = True


def run(request: RunRequest) -> int:
    """Do the item; return the process's exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if request.memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (request.memory_bytes, request.memory_bytes))
    keep_freed_memory()
    try:
        work = Work(request)
        return _carry_out(work)
    except LeaseLost as lost:
        log.info("%s", lost)
        return EXIT_TOLD


def _carry_out(work: Work) -> int:
    from worker.steps import STEPS

    torch.set_num_threads(int(work.job.execution["threads"]))
    try:
        STEPS[work.lease.kind](work)
        work.finish()
    except Stopped:
        work.give_back()
    except ItemFailedError as error:
        work.fail(error.failure)
    except LeaseLost:
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            log.exception("out of memory")
            return EXIT_OUT_OF_MEMORY
        log.exception("%s of job %s failed", work.lease.key, work.lease.job_id)
        work.fail(_failure_of(error))
    return EXIT_TOLD


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, IntakeError):
        return Failure(error.code, error.message)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("storage_full", "the storage is full; free space and retry", retryable=True)
    kind = type(error).__name__
    return Failure("internal", f"an internal error ({kind}) stopped the job; the worker's log has it")

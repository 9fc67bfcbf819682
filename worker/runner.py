"""A runner: the process that does one work item and tells the database everything it finds."""

from __future__ import annotations

import errno
import logging
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db.blobs import BlobMissing, BlobStore
from app.db.session import Database, is_transient, reason
from app.db.tables import Job, Model, WorkItem
from app.jobs import items, recording
from app.jobs.abilities import loops_of
from app.jobs.items import Failure, Lease, LeaseLost, repeats_of
from app.jobs.states import JobState
from simulator.intake import IntakeError
from simulator.memory import keep_freed_memory
from worker.protocol import EXIT_DATABASE_AWAY, EXIT_OUT_OF_MEMORY, EXIT_STORAGE_FULL, EXIT_TOLD, RunRequest

log = logging.getLogger(__name__)

_TAKE_OVER_S = 60.0  # how long a runner takes over other items: its start is little against that
_LOOK_S = 0.5  # how often the database is asked whether to stop, and told the progress
_SIGN_OF_LIFE_S = 30.0  # how often it is told that the runner is at work where nothing is counted

Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818 - not a fault
    """The item should stop: its job is being cancelled, or the worker shuts down."""


class ItemFailedError(Exception):
    """The item cannot be done, for a reason that a user can read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


class InputGone(Exception):  # noqa: N818 - not a fault
    """What another item of the job made is not there any more: it is computed again.

    Attributes:
        source_key: the other item.
    """

    def __init__(self, source_key: str) -> None:
        super().__init__(f"what {source_key} made is gone")
        self.source_key = source_key


class Work:
    """The item as its step sees it: what is to be done, and where to put what was found.

    All that is written and read goes through `tell` and `ask`, which try again for as long as a lease lasts
    when the database is away for a moment.
    """

    def __init__(self, request: RunRequest) -> None:
        self.lease: Lease = request.lease
        self.blobs = BlobStore(Path(request.blob_folder))
        self._patience_s = request.lease_s
        self._database = Database(request.database_url)
        self._terminated = False
        self._looked_at = 0.0
        self._told_at = self._heard_at = self._started_at = time.monotonic()
        signal.signal(signal.SIGTERM, self._on_terminate)
        self.job: Job
        self.item: WorkItem
        self.model: Model
        self.job, self.item, self.model = self.tell(recording.load_item)
        self._done = self.item.progress_done
        self.dataset_row = self.ask(recording.dataset_of, self.job)

    @property
    def payload(self) -> dict[str, Any]:
        """What the plan says of this item."""
        return self.lease.payload

    def tell(self, action: Callable[..., Result], **what: Any) -> Result:
        """Do something to the item in a transaction: `action(session, lease, **what)`.

        Raises:
            LeaseLost: the item is another worker's now.
            SQLAlchemyError: the database was away for longer than a lease.
        """
        return self._database.retrying(
            lambda session: action(session, self.lease, **what), for_s=self._patience_s, what=self._name
        )

    def ask(self, query: Callable[..., Result], *what: Any) -> Result:
        """Read something from the database: `query(session, *what)`."""
        return self._database.retrying(
            lambda session: query(session, *what), for_s=self._patience_s, what=self._name, read_only=True
        )

    @property
    def _name(self) -> str:
        return f"{self.lease.key} of job {self.lease.job_id}"

    def check_stop(self) -> None:
        """Raise Stopped when the item should stop; asks the database now and then."""
        now = time.monotonic()
        if self._terminated:
            raise Stopped
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        with self._if_it_is_there():
            with self._database.reading() as session:
                should_stop = items.stop_requested(session, self.lease)
            if should_stop:
                raise Stopped
            if now - self._heard_at > _SIGN_OF_LIFE_S:
                with self._database.transaction() as session:
                    recording.save_sign_of_life(session, self.lease)
                self._heard_at = now

    def advance(self, samples: int) -> None:
        """Count sample-forwards; the database hears of them now and then."""
        self._done += samples
        now = time.monotonic()
        if now - self._told_at >= _LOOK_S:
            self._told_at = self._heard_at = now
            with self._if_it_is_there(), self._database.transaction() as session:
                recording.save_progress(session, self.lease, self._done)

    @contextmanager
    def _if_it_is_there(self) -> Iterator[None]:
        """Let go what is no matter when the database is away for a moment."""
        try:
            yield
        except Exception as error:
            if not is_transient(error):
                raise

    def take_over(self) -> list[list[int]]:
        """Return all ranges of chip instances of this evaluation item; see `items.take_over`."""
        if time.monotonic() - self._started_at > _TAKE_OVER_S:
            return repeats_of(self.payload)
        ranges, done = self.tell(items.take_over)
        self._done += done
        return ranges

    def set_done(self, done: int) -> None:
        """Say how far the item really is, for example after going back to a checkpoint."""
        self._done = done

    def save_artifact(self, name: str, media_type: str, data: bytes) -> None:
        """Store a file of the job."""
        stored = self.blobs.put(data)
        self.tell(recording.save_artifact, name=name, media_type=media_type, blob=stored)

    def finish(self) -> None:
        """Mark the item as done."""
        self.tell(items.succeed)

    def fail(self, failure: Failure) -> None:
        """Mark the item and its job as failed."""
        self.tell(items.fail, failure=failure)

    def give_back(self) -> None:
        """Note that this runner stops: the item is cancelled with its job, or goes back to the queue."""

        def give_back(session: Session, lease: Lease) -> None:
            job, _ = items.hold(session, lease)
            if job.state == JobState.CANCELLING:
                items.stopped(session, lease)
            else:
                items.release(session, lease)

        self.tell(give_back)

    def wait_for(self, source_key: str) -> None:
        """Give the item back until another item of its job has been done again."""
        self.tell(items.compute_again, source_key=source_key)

    def _on_terminate(self, *_: object) -> None:
        self._terminated = True


def run(request: RunRequest) -> int:
    """Do the item; return the process's exit code."""
    lease = request.lease
    where = f"job {lease.job_id}: {lease.key}, attempt {lease.attempt}"
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s %(name)s: {where}: %(message)s",
    )
    if request.memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (request.memory_bytes, request.memory_bytes))
    keep_freed_memory()
    try:
        return _carry_out(Work(request))
    except LeaseLost as lost:
        log.info("%s", lost)
        return EXIT_TOLD
    except Exception as error:
        if is_full(error):
            log.warning("%s", error)
            return EXIT_STORAGE_FULL
        if is_transient(error):
            log.warning("the database was away for longer than %g s: %s", request.lease_s, reason(error))
            return EXIT_DATABASE_AWAY
        if _is_out_of_memory(error):
            log.exception("out of memory")
            return EXIT_OUT_OF_MEMORY
        raise


def _carry_out(work: Work) -> int:
    from worker.steps import STEPS

    torch.set_num_threads(int(work.job.execution["threads"]))
    try:
        with _loops(loops_of(work.job)):
            STEPS[work.lease.kind](work)
        work.finish()
    except Stopped:
        work.give_back()
    except InputGone as gone:
        log.warning("%s from the storage; it is computed again", gone)
        work.wait_for(gone.source_key)
    except ItemFailedError as error:
        work.fail(error.failure)
    except Exception as error:
        if isinstance(error, LeaseLost) or is_full(error) or is_transient(error) or _is_out_of_memory(error):
            raise
        log.exception("the item failed")
        work.fail(_failure_of(error))
    return EXIT_TOLD


@contextmanager
def _loops(kind: str) -> Iterator[None]:
    """Compute with the loops that the job was submitted for."""
    from simulator.tile import fast

    if kind == "plain":
        with fast.disabled():
            yield
        return
    if not fast.available():
        raise ItemFailedError("loops_unavailable", "this job runs compiled loops and this worker has none")
    yield


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, ImportError) and "failed to map segment" in str(error):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def is_full(error: BaseException) -> bool:
    """Tell whether there was no room left, in the storage or for the database."""
    if isinstance(error, OperationalError):
        return any(what in str(error.orig) for what in ("disk is full", "No space left on device"))
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, IntakeError):
        return Failure(error.code, error.message)
    if isinstance(error, BlobMissing):
        message = f"{error}: restore the storage from its backup, or upload the file again, and retry the job"
        return Failure("blob_missing", message, retryable=True)
    kind = type(error).__name__
    return Failure("internal", f"an internal error ({kind}) stopped the job; the worker's log has it")

"""What the handler of a work item works with: the task, and where its results go."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from app.db.blobs import open_blobs
from app.db.session import Database, is_transient
from app.db.tables import Job, Model, WorkItem
from app.engine import kinds, recording
from app.engine.items import claims, endings, leases, taking_over
from app.engine.items.changes import Failure
from app.engine.items.leases import Lease
from app.engine.items.taking_over import repeats_of
from app.engine.states import JobState
from app.monitoring.traces import Traces
from simulator.config import Variant
from worker.protocol import RunRequest

_TAKE_OVER_S = 60.0  # how long a runner takes over other items: its start is little against that
_LOOK_S = 0.5  # time between two looks whether to stop, and between two reports of progress
_GIVE_WAY_S = 2.0  # least time of work between two looks whether another job comes first
_SIGN_OF_LIFE_S = 30.0  # time between two reports where nothing is counted

Result = TypeVar("Result")
Report = Callable[[int, int], None]  # of cells and sample-forwards, since the last call


class Stopped(Exception):  # noqa: N818 - not a fault
    """The item should stop: its job is being cancelled, or the worker shuts down."""

    reason = "worker_shutdown"


class GaveWay(Stopped):
    """The item stops where it is, because a job of which nothing was begun comes first."""

    reason = "gave_way"


class ItemFailedError(Exception):
    """The item cannot be done, for a reason that users read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


class InputGone(Exception):  # noqa: N818 - not a fault
    """The result of another item of the job is gone: it is computed again.

    Attributes:
        source_key: the other item.
    """

    def __init__(self, source_key: str) -> None:
        super().__init__(f"what {source_key} made is gone")
        self.source_key = source_key


def nobody_counts(cells: int, samples: int) -> None:
    """Take no notice of what was found."""
    del cells, samples


class Runner:
    """The process: what it keeps from one item of its job to the next.

    Attributes:
        database: where results go.
        blobs: where files go.
        report: is told of cells and sample-forwards, for the metrics.
        traces: where its spans go.
        is_terminated: whether the process was asked to stop. It is asked once: nobody gives it another item
            then.
    """

    def __init__(self, request: RunRequest, report: Report = nobody_counts) -> None:
        self.report = report
        self.traces = Traces(request.traces_url, "driftline-runner")
        self.database = Database(request.database_url)
        self.blobs = open_blobs(request.blobs)
        self.is_terminated = False
        self._kept: dict[str, Any] = {}
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the zygote holds it back

    def keep(self, name: str, make: Callable[[], Result]) -> Result:
        """Return what was made for an earlier item of the job, or make it now. Nobody changes it."""
        if name not in self._kept:
            with self.traces.span(f"make {name}"):
                self._kept[name] = make()
        kept: Result = self._kept[name]
        return kept

    def _on_terminate(self, *_: object) -> None:
        self.is_terminated = True


class ItemContext:
    """The item as its handler sees it: the task, and where its results go.

    All that is written and read goes through `write` and `read`, which try again for as long as a lease lasts
    when the database is away for a moment.
    """

    def __init__(self, runner: Runner, request: RunRequest) -> None:
        self.runner = runner
        self.lease: Lease = request.lease
        self.blobs = runner.blobs
        self._patience_s = request.lease_s
        self._database = runner.database
        self._looked_at = 0.0
        self._looked_around_at = time.monotonic()
        self._cells = self._samples = 0
        self._reported_at = self._heard_at = self._started_at = time.monotonic()
        self.job: Job
        self.row: WorkItem
        self.model: Model
        self.job, self.row, self.model = self.write(recording.load_item)
        self._done = self.row.progress_done
        self.dataset_row = self.read(recording.dataset_of, self.job)

    @property
    def payload(self) -> dict[str, Any]:
        """What the plan says of this item."""
        return self.lease.payload

    @property
    def variant(self) -> Variant:
        """Which network this item is about."""
        return Variant(self.payload["variant"])

    def write(self, action: Callable[..., Result], **what: Any) -> Result:
        """Write what the item found in a transaction: `action(session, lease, **what)`.

        Raises:
            LeaseLost: the item is another worker's now.
            SQLAlchemyError: the database was away for longer than a lease.
        """
        return self._database.retrying(
            lambda session: action(session, self.lease, **what), for_s=self._patience_s, what=self._name
        )

    def read(self, query: Callable[..., Result], *what: Any) -> Result:
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
        if self.runner.is_terminated:
            raise Stopped
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        with self._if_it_is_there():
            with self._database.reading() as session:
                should_stop = leases.stop_requested(session, self.lease)
            if should_stop:
                raise Stopped
            if now - self._heard_at > _SIGN_OF_LIFE_S:
                with self._database.transaction() as session:
                    recording.save_sign_of_life(session, self.lease)
                self._heard_at = now

    def give_way(self) -> None:
        """Raise GaveWay when another job comes first; to be called where all that was found is stored."""
        now = time.monotonic()
        if now - self._looked_around_at < _GIVE_WAY_S:
            return
        self._looked_around_at = now
        with self._if_it_is_there():
            with self._database.reading() as session:
                comes_first = claims.gives_way(session, self.lease)
            if comes_first:
                raise GaveWay

    def advance(self, samples: int) -> None:
        """Count sample-forwards; the database gets the count now and then."""
        self._done += samples
        self._samples += samples
        now = time.monotonic()
        if now - self._reported_at >= _LOOK_S:
            self._reported_at = self._heard_at = now
            self.report()
            with self._if_it_is_there(), self._database.transaction() as session:
                recording.save_progress(session, self.lease, self._done)

    def count_cell(self) -> None:
        """Count a cell for the metrics."""
        self._cells += 1

    def report(self) -> None:
        """Tell the worker what was found since it was last told."""
        self.runner.report(self._cells, self._samples)
        self._cells = self._samples = 0

    @property
    def done(self) -> int:
        """Sample-forwards so far, those included that the database has not heard of."""
        return self._done

    @contextmanager
    def _if_it_is_there(self) -> Iterator[None]:
        """Ignore that the database is away for a moment; the next look will do."""
        try:
            yield
        except Exception as error:
            if not is_transient(error):
                raise

    def take_over(self) -> list[list[int]]:
        """Return all ranges of chips of this evaluation item; see `taking_over.take_over`."""
        if time.monotonic() - self._started_at > _TAKE_OVER_S:
            return repeats_of(self.payload)
        ranges, done = self.write(taking_over.take_over)
        self._done += done
        return ranges

    def set_done(self, done: int) -> None:
        """Set the real progress of the item, for example after a return to a checkpoint."""
        self._done = done

    def save_artifact(self, name: str, media_type: str, data: bytes) -> None:
        """Store a file of the job."""
        stored = self.blobs.put(data)
        self.write(recording.save_artifact, name=name, media_type=media_type, blob=stored)

    def finish(self) -> None:
        """Mark the item as done."""
        self.write(endings.succeed, next_round=kinds.next_round)

    def fail(self, failure: Failure) -> None:
        """Mark the item and its job as failed."""
        self.write(endings.fail, failure=failure)

    def give_back(self, reason: str) -> None:
        """Record that this runner stops: the item is cancelled with its job, or goes back to the queue."""

        def give_back(session: Session, lease: Lease) -> None:
            job, _ = leases.hold(session, lease)
            if job.state == JobState.CANCELLING:
                endings.stopped(session, lease)
            else:
                endings.release(session, lease, reason=reason)

        self.write(give_back)

    def wait_for(self, source_key: str) -> None:
        """Give the item back until another item of its job has been done again."""
        self.write(endings.compute_again, source_key=source_key)

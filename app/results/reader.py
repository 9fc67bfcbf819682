"""Reading results: computed once for each version of them, written in pieces, a few readers at a time.

Python runs one thread at a time, so what takes long is done by a few threads only; the others wait for their
turn without holding a connection to the database, and the rest of the service goes on.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import Job
from app.engine.kinds.inference.repeats import until_of
from app.engine.specification import task_of
from app.engine.states import FINAL, JobState
from app.kit.etag import etag_of
from app.kit.fields import not_found
from app.results import statistics, tabular
from app.results.cells import Cells
from app.results.formats import ResultsFormat
from app.results.repository import ResultRepository
from app.results.schemas import ResultsView
from driftline import plots
from simulator.config.tasks import TASKS

_AT_ONCE: Final = 2
_KEPT_POINTS: Final = 20_000  # of summaries, some KiB each
_KEPT_PICTURE_BYTES: Final = 32 * 1024 * 1024
_KEPT_CELLS: Final = 1_000_000  # of 72 bytes each
ValueT = TypeVar("ValueT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Version:
    """Which results: a job's, as of a version."""

    job_id: str
    results_version: int
    complete: bool

    @classmethod
    def of(cls, job: Job) -> Version:
        """Return the present version of a job's results."""
        return cls(job.id, job.results_version, job.state == JobState.SUCCEEDED)

    def tag(self, *representation: str) -> str:
        """Return the entity tag of the results in one representation; progress leaves it as it is."""
        parts = ("results", self.job_id, str(self.results_version), str(self.complete), *representation)
        return etag_of("|".join(parts))


@dataclass(frozen=True)
class Summary:
    """What is said of a job's results as a whole.

    Attributes:
        version: whose, as of when.
        title: of pictures.
        config_hash: the job's.
        answer: the results as JSON has them, without cells.
        test_samples: of one pass over the test set.
    """

    version: Version
    title: str
    config_hash: str
    answer: dict[str, Any]
    test_samples: int

    def __len__(self) -> int:
        return 1 + sum(len(one["points"]) for one in self.answer["series"])

    def shown(self, *, test_set_ci: bool) -> dict[str, Any]:
        """Return the results as JSON has them, if so with Wilson's intervals for the test set."""
        if not test_set_ci or self.answer["task"] != "classification":
            return self.answer
        return {**self.answer, "series": statistics.with_test_set(self.answer["series"], self.test_samples)}


class _Kept(Generic[ValueT]):
    """The values that were asked for last, up to a total size."""

    def __init__(self, most: int, size: Callable[[ValueT], int]) -> None:
        self._most = most
        self._size = size
        self._values: OrderedDict[Hashable, ValueT] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> ValueT | None:
        """Return the value, if it is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: ValueT) -> None:
        """Keep a value; those that nobody asked for lately make room."""
        with self._lock:
            if key in self._values or self._size(value) > self._most:
                return
            self._values[key] = value
            self._total += self._size(value)
            while self._total > self._most:
                _, dropped = self._values.popitem(last=False)
                self._total -= self._size(dropped)


class ResultReader:
    """Reads results, for one application."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turns = anyio.CapacityLimiter(_AT_ONCE)
        self._alone: WeakValueDictionary[Hashable, anyio.Lock] = WeakValueDictionary()
        self._summaries = _Kept[Summary](_KEPT_POINTS, len)
        self._pictures = _Kept[bytes](_KEPT_PICTURE_BYTES, len)
        self._cells = _Kept[Cells](_KEPT_CELLS, len)

    async def in_turn(self, work: Callable[[], AnswerT]) -> AnswerT:
        """Return what some work returns that takes long; a few such works run at a time."""
        return await anyio.to_thread.run_sync(work, limiter=self._turns)

    async def summary(self, job_id: str) -> Summary:
        """Return a job's results as of now; NotFound if there is none."""
        async with self._one_at_a_time(job_id):
            return await self.in_turn(lambda: self._summary(job_id))

    async def picture(self, summary: Summary, file_format: ResultsFormat) -> bytes:
        """Return the results as a picture."""

        def draw() -> bytes:
            return plots.to_bytes(plots.accuracy(summary.answer, summary.title), file_format)

        return await self.drawn((summary.version, file_format), draw)

    async def drawn(self, key: Hashable, draw: Callable[[], bytes]) -> bytes:
        """Return a picture, drawn unless it is kept.

        Args:
            key: what the picture is of, as of which version, and its form.
            draw: draws it.
        """
        async with self._one_at_a_time(key):
            picture = self._pictures.get(key)
            if picture is None:
                picture = await self.in_turn(draw)
                self._pictures.put(key, picture)
            return picture

    async def with_cells(self, job_id: str) -> tuple[Summary, Cells]:
        """Return a job's results with its cells, as of one moment; NotFound if there is no such job."""
        async with self._one_at_a_time(job_id):
            return await self.in_turn(lambda: self._with_cells(job_id))

    async def points(self, summary: Summary, file_format: ResultsFormat, *, test_set_ci: bool) -> bytes:
        """Return the results as JSON or as a table, without cells."""
        return await self.in_turn(lambda: _points(summary, file_format, test_set_ci=test_set_ci))

    async def pieces(
        self, job_id: str, file_format: ResultsFormat, *, test_set_ci: bool
    ) -> tuple[Version, AsyncIterator[bytes]]:
        """Return the results with every cell, as of now, in pieces; tables have the cells alone."""
        summary, cells = await self.with_cells(job_id)
        return summary.version, self._written(_cells(summary, cells, file_format, test_set_ci=test_set_ci))

    def cells_of(self, session: Session, job: Job) -> Cells:
        """Return a job's cells, from memory if they are there; a snapshot's job has the snapshot's cells."""
        version = Version.of(job)
        cells = self._cells.get(version)
        if cells is None:
            cells = Cells.read(session, job.id)
            if job.state in FINAL:  # of others there is soon another version
                self._cells.put(version, cells)
        return cells

    async def _written(self, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            chunk = await self.in_turn(lambda: next(chunks, None))
            if chunk is None:
                return
            yield chunk

    def _one_at_a_time(self, key: Hashable) -> anyio.Lock:
        """Return the lock that lets one reader compute what several ask for."""
        return self._alone.setdefault(key, anyio.Lock())

    def _summary(self, job_id: str) -> Summary:
        with self._database.reading() as session:
            job = find_job(session, job_id)
            known = self._summaries.get(Version.of(job))
            if known is not None:
                return known
            cells, baselines = self.cells_of(session, job), ResultRepository(session).baselines(job.id)
        return self._summarised(job, cells, baselines)

    def _with_cells(self, job_id: str) -> tuple[Summary, Cells]:
        with self._database.reading() as session:
            job = find_job(session, job_id)
            known = self._summaries.get(Version.of(job))
            cells, baselines = self.cells_of(session, job), ResultRepository(session).baselines(job.id)
        return known or self._summarised(job, cells, baselines), cells

    def _summarised(self, job: Job, cells: Cells, baselines: Any) -> Summary:
        task = task_of(job)
        version = Version.of(job)
        until = until_of(job)
        series = statistics.series(task, cells, until)
        answer = {
            "job": job.id,
            "complete": version.complete,
            "task": task,
            "metric": TASKS[task].metric,
            "baseline": {row.variant: statistics.baseline_json(task, row.counts) for row in baselines},
            "repeats_until": None if until is None else until.model_dump(mode="json"),
            "series": series,
        }
        schedule = job.spec.get("evaluate", {}).get("maintenance")
        if schedule is not None:
            answer["maintenance"] = schedule
        samples = int(cells.columns["total"][0]) if len(cells) else 0
        summary = Summary(version, job.name or f"job {job.id}", job.config_hash, answer, samples)
        self._summaries.put(version, summary)
        return summary


def find_job(session: Session, job_id: str) -> Job:
    """Return the job; NotFound if there is none."""
    job = ResultRepository(session).job(job_id)
    if job is None:
        raise not_found("job", job_id)
    return job


def _json(summary: Summary, *, test_set_ci: bool) -> bytes:
    view = ResultsView.model_validate(summary.shown(test_set_ci=test_set_ci))
    return view.model_dump_json(exclude_unset=True).encode()


def _about(summary: Summary) -> dict[str, str]:
    return {
        "job": summary.version.job_id,
        "config_hash": summary.config_hash,
        "metric": summary.answer["metric"],
    }


def _points(summary: Summary, file_format: ResultsFormat, *, test_set_ci: bool) -> bytes:
    if file_format is ResultsFormat.JSON:
        return _json(summary, test_set_ci=test_set_ci)
    columns = tabular.POINT_COLUMNS + (tabular.TEST_SET_COLUMNS if test_set_ci else ())
    rows = tabular.point_rows(summary.shown(test_set_ci=test_set_ci)["series"])
    blocks = [tabular.block_of(columns, rows)]
    if file_format is ResultsFormat.CSV:
        return b"".join(tabular.csv_chunks(columns, blocks))
    return b"".join(tabular.parquet_chunks(columns, blocks, about=_about(summary)))


def _cells(
    summary: Summary, cells: Cells, file_format: ResultsFormat, *, test_set_ci: bool
) -> Iterator[bytes]:
    columns, blocks = tabular.CELL_COLUMNS, cells.blocks()
    if file_format is ResultsFormat.CSV:
        return tabular.csv_chunks(columns, blocks)
    if file_format is ResultsFormat.PARQUET:
        return tabular.parquet_chunks(columns, blocks, about=_about(summary))
    return _json_with_cells(summary, blocks, test_set_ci=test_set_ci)


def _json_with_cells(
    summary: Summary, blocks: Iterator[tabular.Block], *, test_set_ci: bool
) -> Iterator[bytes]:
    yield _json(summary, test_set_ci=test_set_ci).removesuffix(b"}") + b',"cells":'
    yield from tabular.json_chunks(tabular.CELL_COLUMNS, blocks)
    yield b"}"

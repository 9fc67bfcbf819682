"""The queries of jobs, for the API."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, func, or_, select
from sqlalchemy.orm import Session, defer

from app.db.ids import first_id_at
from app.db.tables import (
    AnalysisRow,
    Artifact,
    Baseline,
    Cell,
    Dataset,
    Epoch,
    Event,
    Job,
    JobBlob,
    JobResultKey,
    JobTag,
    Model,
    RpuConfig,
    Speed,
    Worker,
    WorkItem,
)  # fmt: skip
from app.db.types import database_now_s, has_text
from app.engine.keys import ItemKey, ItemKind
from app.engine.kinds.inference.content_keys import ContentKeys, training_item
from app.engine.states import ItemState
from simulator.config import Variant

# Columns of a job that hold more than all others together.
HEAVY = frozenset({"spec", "effective_config"})


# An id and the time beside it are of one process, whose clock may have been set meanwhile.
_CLOCKS_DIFFER = timedelta(days=1)


def _moved(moment: datetime, by: timedelta) -> datetime:
    """Return a moment moved, as far as there is one."""
    try:
        return moment + by
    except OverflowError:
        return moment


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows; None or nothing is any.

    Attributes:
        states: one of them.
        tags: all of them.
        model_id: on this model.
        dataset: on this dataset, by its id.
        config_hash: with this effective configuration.
        created_after: made then or later.
        created_before: made earlier than that.
        text: somewhere in the name or in a tag, in upper or lower case; or the id begins so.
    """

    states: Sequence[str] = ()
    tags: Sequence[str] = ()
    model_id: str | None = None
    dataset: str | None = None
    config_hash: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what holds for the jobs that pass."""
        if self.states:
            yield Job.state.in_(self.states)
        for tag in self.tags:
            yield Job.id.in_(select(JobTag.job_id).where(JobTag.tag == tag))
        for column, value in (
            (Job.model_id, self.model_id),
            (Job.dataset_ref, self.dataset),
            (Job.config_hash, self.config_hash),
        ):
            if value is not None:
                yield column == value
        # Ids sort by time, and so does the list: the bound on them finds the page without sorting.
        if self.created_after is not None:
            yield Job.created_at >= self.created_after
            yield Job.id >= first_id_at(_moved(self.created_after, -_CLOCKS_DIFFER))
        if self.created_before is not None:
            yield Job.created_at < self.created_before
            yield Job.id < first_id_at(_moved(self.created_before, _CLOCKS_DIFFER))
        if self.text is not None:
            tagged = select(JobTag.job_id).where(has_text(JobTag.tag, self.text))
            yield or_(
                has_text(Job.name, self.text),
                Job.id.in_(tagged),
                Job.id.startswith(self.text.lower(), autoescape=True),
            )


@dataclass(frozen=True)
class JobMark:
    """What of a job tells whether it has changed; the names are those of its columns."""

    id: str
    state: str
    version: int
    progress_done: int


@dataclass(frozen=True)
class KnownResults:
    """What earlier jobs have computed of a job.

    Attributes:
        cells: how many, by variant.
        done: keys of work items that need not be done again.
    """

    cells: Mapping[Variant, int]
    done: frozenset[str]


# Made once: making a query anew takes as long as such a short one itself.
_AMONG = Job.id.in_(bindparam("ids", expanding=True))
_JOBS = select(Job).where(_AMONG)
_MARKS = select(Job.id, Job.state, Job.version, Job.progress_done).where(_AMONG)


@lru_cache(maxsize=100)
def _events_of(count: int) -> Select[Event]:
    """Return the query for the events of so many jobs, `job_n`, after numbers, `after_n`."""
    conditions = (
        and_(Event.job_id == bindparam(f"job_{place}"), Event.seq > bindparam(f"after_{place}"))
        for place in range(count)
    )
    return select(Event).where(or_(*conditions)).order_by(Event.job_id, Event.seq)


class JobRepository:
    """Jobs and what belongs to them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, job: Job, items: Sequence[WorkItem], result_keys: Mapping[str, str]) -> None:
        """Store a new job with its tags, work items and result keys."""
        self._session.add(job)
        self._session.flush()
        for tag in dict.fromkeys(job.tags):
            self._session.add(JobTag(job_id=job.id, tag=tag))
        for item in items:
            item.job_id = job.id
            item.priority = job.priority
        for of, key in result_keys.items():
            self._session.add(JobResultKey(job_id=job.id, variant=of, key=key))
        self._session.add_all(items)

    def get(self, job_id: str) -> Job | None:
        """Return the job."""
        return self._session.get(Job, job_id)

    def several(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Return those jobs that there are, by id."""
        if not job_ids:
            return {}
        return {job.id: job for job in self._session.scalars(_JOBS, {"ids": job_ids})}

    def marks(self, job_ids: Collection[str]) -> dict[str, JobMark]:
        """Return the marks of those jobs that there are, by id."""
        if not job_ids:
            return {}
        return {row.id: JobMark(*row) for row in self._session.execute(_MARKS, {"ids": job_ids})}

    def listing(
        self,
        job_filter: JobFilter,
        *,
        after_id: str | None,
        limit: int,
        oldest_first: bool = False,
        without: Iterable[str] = (),
    ) -> Sequence[Job]:
        """Return the jobs that pass the filter, newest first unless said otherwise, after the given one.

        Args:
            job_filter: what holds for them.
            after_id: the last job of the page before.
            limit: how many at most.
            oldest_first: the order.
            without: columns that nobody will look at.
        """
        # Ids sort by the time they were made.
        query = select(Job).where(*job_filter.conditions()).limit(limit)
        query = query.order_by(Job.id.asc() if oldest_first else Job.id.desc())
        if after_id is not None:
            query = query.where(Job.id > after_id if oldest_first else Job.id < after_id)
        query = query.options(*(defer(getattr(Job, name), raiseload=True) for name in without))
        return self._session.scalars(query).all()

    def model(self, model_id: str) -> Model | None:
        """Return an uploaded model."""
        return self._session.get(Model, model_id)

    def dataset(self, dataset_id: str) -> Dataset | None:
        """Return an uploaded dataset."""
        return self._session.get(Dataset, dataset_id)

    def stored_config(self, config_id: str) -> RpuConfig | None:
        """Return a stored configuration."""
        return self._session.get(RpuConfig, config_id)

    def epochs(self, job_id: str) -> Sequence[Epoch]:
        """Return the fine-tuning epochs, ordered."""
        query = select(Epoch).where(Epoch.job_id == job_id).order_by(Epoch.variant, Epoch.epoch)
        return self._session.scalars(query).all()

    def events(self, job_id: str, *, after_seq: int, limit: int) -> Sequence[Event]:
        """Return events of the job after a number, in order."""
        query = select(Event).where(Event.job_id == job_id, Event.seq > after_seq)
        return self._session.scalars(query.order_by(Event.seq).limit(limit)).all()

    def events_of(self, after: Mapping[str, int]) -> dict[str, list[Event]]:
        """Return the events of several jobs, those of each after a number, in order.

        Args:
            after: the numbers by job.
        """
        found: dict[str, list[Event]] = {job_id: [] for job_id in after}
        values: dict[str, str | int] = {}
        for place, (job_id, seq) in enumerate(after.items()):
            values |= {f"job_{place}": job_id, f"after_{place}": seq}
        for event in self._session.scalars(_events_of(len(after)), values) if after else ():
            found[event.job_id].append(event)
        return found

    def artifacts(self, job_id: str) -> Sequence[Artifact]:
        """Return the job's files by name."""
        query = select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)
        return self._session.scalars(query).all()

    def artifact(self, job_id: str, name: str) -> Artifact | None:
        """Return one file of the job."""
        return self._session.get(Artifact, (job_id, name))

    def known_results(self, keys: ContentKeys, times: Collection[float], repeats: int) -> KnownResults:
        """Return what earlier jobs with these keys have of a new job.

        Args:
            keys: the new job's.
            times: at which it evaluates, in s.
            repeats: its chip instances.
        """
        cells: dict[Variant, int] = {}
        done: set[str] = set()
        for variant, key in keys.results.items():
            same = select(JobResultKey.job_id).where(JobResultKey.variant == variant, JobResultKey.key == key)
            found = (
                select(Cell.repeat, Cell.t_inference)
                .where(
                    Cell.job_id.in_(same),
                    Cell.variant == variant,
                    Cell.repeat < repeats,
                    Cell.t_inference.in_(times),
                )
                .distinct()
                .subquery()
            )
            cells[variant] = self._session.scalars(select(func.count()).select_from(found)).one()
            items = select(WorkItem.key).where(
                WorkItem.job_id.in_(same),
                WorkItem.key.in_(
                    str(ItemKey(kind, variant)) for kind in (ItemKind.FINETUNE, ItemKind.BASELINE)
                ),
                WorkItem.state == ItemState.SUCCEEDED,
            )
            done.update(self._session.scalars(items.distinct()))
        for variant, key in keys.training.items():
            item = training_item(variant)
            trained = (
                select(WorkItem.job_id)
                .join(JobResultKey, JobResultKey.job_id == WorkItem.job_id)
                .where(
                    JobResultKey.variant == item,
                    JobResultKey.key == key,
                    WorkItem.key == item,
                    WorkItem.state == ItemState.SUCCEEDED,
                )
            )
            if self._session.scalars(trained.limit(1)).first() is not None:
                done.add(item)
        return KnownResults(cells, frozenset(done))

    def workers_alive(self, silence_s: float) -> Sequence[Worker]:
        """Return the workers that have reported within the last seconds of the database's clock."""
        alive = select(Worker).where(Worker.heartbeat_at_s >= database_now_s() - silence_s)
        return self._session.scalars(alive).all()

    def speeds(self) -> Sequence[Speed]:
        """Return the measured speeds of workers' machines."""
        return self._session.scalars(select(Speed)).all()

    def delete(self, job: Job) -> None:
        """Delete the job with all that belongs to it."""
        belongings = (
            Cell, AnalysisRow, Baseline, Epoch, Event, Artifact, WorkItem, JobTag, JobResultKey, JobBlob,
        )  # fmt: skip
        for table in belongings:
            self._session.execute(delete(table).where(table.job_id == job.id))
        self._session.delete(job)

"""Results by content: what was computed before is not computed again, down to single cells.

Cells of jobs with the same result key (`content_keys`) are equal, so a new job takes over those that are
there, in its own project; more repeats or times compute only the new ones. Networks that were trained alike
are equal, too, and are taken over where the evaluation differs.

Nothing is locked and no file is copied: blobs are named by their content, and a blob that was in use a moment
ago is still there (`app.engine.storage`). Should one be missing all the same, a runner computes it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, load_only

from app.db.blobs import BlobStore
from app.db.tables import (
    AnalysisRow,
    Artifact,
    Baseline,
    Cell,
    Epoch,
    Job,
    JobBlob,
    JobResultKey,
    WorkItem,
)  # fmt: skip
from app.db.types import utc_now
from app.engine.items.taking_over import repeats_of
from app.engine.keys import ItemKey, ItemKind
from app.engine.kinds.analyses.plan import places_of
from app.engine.kinds.inference.content_keys import ContentKeys, training_item
from app.engine.kinds.inference.repeats import until_of, waves_of
from app.engine.specification import spec_of
from app.engine.states import FINAL, ItemState
from simulator.config import Variant
from simulator.config.job import JobSpec

_MOST_SOURCES = 20
# What the items write besides rows.
_BASELINE_FILES = {"digital": ("provenance.json",), "hwa": ("finetuned.onnx",)}
_PREPARES = (ItemKind.VERIFY, ItemKind.CALIBRATE, ItemKind.FINETUNE)
_DESCRIPTION_FILES = ("analog_state.safetensors", "conductances.safetensors", "conversion.json")


class KnownResults:
    """Takes over what earlier jobs computed of some items: cells, and rows of analyses."""

    def __init__(self, session: Session, job: Job, spec: JobSpec, keys: Mapping[Variant, str]) -> None:
        self._session = session
        self._job = job
        self._spec = spec
        self._keys = keys
        self._used: set[str] = set()

    def take_round(self, items: Sequence[WorkItem]) -> None:
        """Add what is there already of a round, and mark the items that have nothing left to do."""
        for variant in self._spec.analog:
            sources = self._sources(variant, self._keys[variant]) if variant in self._keys else ()
            self._take_cells(variant, sources, items)
            self._take_analyses(variant, sources, items)
        if self._used:
            self._job.cached_from = sorted({*self._job.cached_from, *self._used})
            self._job.results_version += 1

    def _sources(self, of: str, key: str) -> Sequence[Job]:
        query = (
            select(Job)
            .join(JobResultKey, JobResultKey.job_id == Job.id)
            .where(
                JobResultKey.variant == of,
                JobResultKey.key == key,
                Job.id != self._job.id,
                Job.project == self._job.project,
            )
            .order_by(Job.id.desc())
            .limit(_MOST_SOURCES)
            .options(load_only(Job.id, Job.state, Job.execution))
        )
        jobs = self._session.scalars(query).all()
        # Other kinds of device draw other numbers: all must be on the one that the first was on.
        devices = {job.execution["device"] for job in jobs if "device" in job.execution}
        if self._job.execution.get("device") is None and devices:
            self._job.execution = {**self._job.execution, "device": min(devices)}
        device = self._job.execution.get("device")
        return [job for job in jobs if job.execution.get("device", device) == device]

    def _take_cells(self, variant: Variant, sources: Sequence[Job], items: Sequence[WorkItem]) -> None:
        times = set(self._spec.evaluate.t_inference)
        shards = [one for one in items if one.kind == ItemKind.EVALUATE and one.payload["variant"] == variant]
        if not shards:
            return
        asked = [ends for item in shards for ends in repeats_of(item.payload)]
        begin, end = min(start for start, _ in asked), max(stop for _, stop in asked)
        taken: dict[tuple[int, float], Cell] = {}
        for source in sources:
            query = select(Cell).where(
                Cell.job_id == source.id,
                Cell.variant == variant,
                Cell.repeat >= begin,
                Cell.repeat < end,
            )
            for cell in self._session.scalars(query):
                place = (cell.repeat, cell.t_inference)
                if cell.t_inference in times and place not in taken:
                    taken[place] = cell
                    self._add_copy(cell)
                    self._used.add(source.id)
        for item in shards:
            ranges = repeats_of(item.payload)
            cells = [taken.get((repeat, t)) for ends in ranges for repeat in range(*ends) for t in times]
            found = sum(cell is not None for cell in cells)
            item.progress_done = item.progress_total * found // len(cells)
            if all(cell is not None for cell in cells):
                self._finish(item)

    def _take_analyses(self, variant: Variant, sources: Sequence[Job], items: Sequence[WorkItem]) -> None:
        """Take over rows of analyses: a setting means the same in jobs with equal result keys.

        Those of later rounds are among them, so that the items of these find them there.
        """
        by_type = {one.type: one for one in self._spec.analyses if variant in one.variants_of(self._spec)}
        if not by_type:
            return
        places = {
            name: {(chip, t) for chip in range(one.chips_of(self._spec)) for t in one.times_s(self._spec)}
            for name, one in by_type.items()
        }
        there = {_place(row) for row in self._rows(self._job.id, variant, by_type)}
        for source in sources:
            for row in self._rows(source.id, variant, by_type):
                if (row.repeat, row.t_inference) in places[row.analysis] and _place(row) not in there:
                    there.add(_place(row))
                    self._add_copy(row)
                    self._used.add(source.id)
        for item in items:
            if item.kind == ItemKind.ANALYSE and item.payload["variant"] == variant:
                name = item.payload["analysis"]
                wanted = {
                    (name, one["key"], *at)
                    for one in item.payload["settings"]
                    for at in places_of(by_type[name], self._spec, one)
                }
                item.progress_done = item.progress_total * len(wanted & there) // len(wanted)
                if wanted <= there:
                    self._finish(item)

    def _rows(self, job_id: str, variant: Variant, types: Iterable[str]) -> Iterable[AnalysisRow]:
        return self._session.scalars(
            select(AnalysisRow).where(
                AnalysisRow.job_id == job_id,
                AnalysisRow.variant == variant,
                AnalysisRow.analysis.in_(types),
            )
        )

    def _finish(self, item: WorkItem) -> None:
        item.state = ItemState.SUCCEEDED
        item.progress_done = item.progress_total
        item.finished_at = utc_now()

    def _add_copy(self, row: Cell | AnalysisRow | Baseline | Epoch | Artifact, **changes: Any) -> None:
        values = {column.key: getattr(row, column.key) for column in type(row).__table__.columns}
        self._session.add(type(row)(**{**values, "job_id": self._job.id, **changes}))


class Reuse(KnownResults):
    """Takes over what earlier jobs computed into a new job, before it is stored."""

    def __init__(
        self,
        session: Session,
        job: Job,
        spec: JobSpec,
        keys: ContentKeys,
        blobs: BlobStore,
    ) -> None:
        super().__init__(session, job, spec, keys.results)
        self._content = keys
        self._blobs = blobs

    def take_over(self, items: Sequence[WorkItem]) -> None:
        """Add the rows that are there already, and mark the items that have nothing left to do as done.

        The job must have been flushed, so that rows can refer to it.
        """
        by_key = {item.key: item for item in items}
        for variant, key in self._keys.items():
            sources = self._sources(variant, key)
            self._take_training(variant, by_key)
            if not sources:
                continue
            self._take_model(variant, sources, by_key)
            if variant.is_analog:
                self._take_cells(variant, sources, items)
                self._take_analyses(variant, sources, items)
        self._job.cached_from = sorted(self._used)
        done = {item.key for item in items if item.state == ItemState.SUCCEEDED}
        for item in items:
            if item.state == ItemState.BLOCKED and done.issuperset(item.needs):
                item.state = ItemState.QUEUED
        self._skip_needless(items)
        self._job.progress_done = sum(item.progress_done for item in items)

    def _take_training(self, variant: Variant, by_key: dict[str, WorkItem]) -> None:
        """Take over parameters that were trained alike, whatever they were evaluated on."""
        key = training_item(variant)
        if variant not in self._content.training or key not in by_key:
            return
        sources = self._sources(key, self._content.training[variant])
        usable = self._usable(sources, [key])
        found = [(source, usable[source.id][key]) for source in sources if source.id in usable]
        # Training that was broken off counts where none has ended.
        for source, theirs in sorted(found, key=lambda one: one[1].state != ItemState.SUCCEEDED):
            self._take_state(source, theirs, by_key[key])

    def _take_model(self, variant: Variant, sources: Sequence[Job], by_key: dict[str, WorkItem]) -> None:
        """Take over a variant's trained state and its floating-point result."""
        baseline_item = by_key.get(str(ItemKey(ItemKind.BASELINE, variant)))
        description = by_key.get(str(ItemKey(ItemKind.DESCRIBE, variant)))
        states = [str(ItemKey(kind, variant)) for kind in (ItemKind.FINETUNE, ItemKind.CALIBRATE)]
        others = [item.key for item in (baseline_item, description) if item is not None]
        usable = self._usable(sources, [*states, *others])
        for source in sources:
            theirs = usable.get(source.id)
            if theirs is None:
                continue
            for key in states:
                if key in theirs and key in by_key:
                    self._take_state(source, theirs[key], by_key[key])
            if baseline_item is not None and baseline_item.state != ItemState.SUCCEEDED:
                self._take_baseline(source, theirs.get(baseline_item.key), baseline_item)
            if description is not None and description.state != ItemState.SUCCEEDED:
                self._take_description(source, theirs.get(description.key), description)

    def _take_state(self, source: Job, theirs: WorkItem, ours: WorkItem) -> None:
        """Take over trained weights or input ranges; of training that was broken off, its last checkpoint."""
        is_done = theirs.state == ItemState.SUCCEEDED
        is_resting = source.state in FINAL  # a running job replaces its checkpoints
        if ours.checkpoint is not None or theirs.checkpoint is None or not (is_done or is_resting):
            return
        if not self._share(theirs.checkpoint["blob_key"], f"checkpoint:{ours.key}"):
            return
        ours.checkpoint = theirs.checkpoint
        ours.progress_done = theirs.progress_done
        if is_done:
            self._finish(ours)
        self._used.add(source.id)
        if ours.kind == ItemKind.FINETUNE:
            query = select(Epoch).where(Epoch.job_id == source.id, Epoch.variant == ours.payload["variant"])
            for epoch in self._session.scalars(query):
                self._add_copy(epoch)

    def _take_baseline(self, source: Job, theirs: WorkItem | None, ours: WorkItem) -> None:
        row = self._session.get(Baseline, (source.id, ours.payload["variant"]))
        if row is None or theirs is None or theirs.state != ItemState.SUCCEEDED:
            return
        if not self._has_files(source):
            return  # retention has removed them: they are made anew, with the result that they belong to
        if self._take_artifacts(source, _BASELINE_FILES.get(ours.payload["variant"], ())):
            self._add_copy(row)
            self._finish(ours)
            self._used.add(source.id)

    def _take_description(self, source: Job, theirs: WorkItem | None, ours: WorkItem) -> None:
        is_done = theirs is not None and theirs.state == ItemState.SUCCEEDED
        # A job of an earlier version has not all of the files: they are made anew.
        is_whole = all(self._session.get(Artifact, (source.id, name)) for name in _DESCRIPTION_FILES)
        if is_done and is_whole and self._take_artifacts(source, _DESCRIPTION_FILES):
            self._finish(ours)
            self._used.add(source.id)

    def _has_files(self, job: Job) -> bool:
        query = select(Artifact.name).where(Artifact.job_id == job.id).limit(1)
        return self._session.scalar(query) is not None

    def _take_artifacts(self, source: Job, names: Iterable[str]) -> bool:
        """Take files over, all or none; return whether they were taken."""
        found = [self._session.get(Artifact, (source.id, name)) for name in names]
        there = [artifact for artifact in found if artifact is not None]
        if not all(self._blobs.exists(artifact.blob_key) for artifact in there):
            return False
        for artifact in there:
            self._share(artifact.blob_key, f"artifact:{artifact.name}")
            self._add_copy(artifact)
        return True

    def _share(self, blob_key: str, role: str) -> bool:
        """Use a blob of another job; return False where the storage does not have it."""
        if not self._blobs.exists(blob_key):
            return False
        self._session.add(JobBlob(job_id=self._job.id, role=role, blob_key=blob_key))
        return True

    def _skip_needless(self, items: Sequence[WorkItem]) -> None:
        """Finish what only prepares items that are done already."""
        changed = True
        while changed:
            changed = False
            open_needs = {key for item in items if item.state != ItemState.SUCCEEDED for key in item.needs}
            for item in items:
                prepares = item.kind in _PREPARES
                if prepares and item.state != ItemState.SUCCEEDED and item.key not in open_needs:
                    self._finish(item)
                    changed = True

    def _usable(self, sources: Sequence[Job], keys: Sequence[str]) -> dict[str, dict[str, WorkItem]]:
        """Return the items of some keys that have something to take over, by the job's id and the key.

        Sources without any are absent: of a sweep, most wait themselves.
        """
        query = select(WorkItem).where(
            WorkItem.job_id.in_([source.id for source in sources]),
            WorkItem.key.in_(keys),
            or_(WorkItem.state == ItemState.SUCCEEDED, WorkItem.checkpoint.is_not(None)),
        )
        found: dict[str, dict[str, WorkItem]] = {}
        for item in self._session.scalars(query) if sources else ():
            found.setdefault(item.job_id, {})[item.key] = item
        return found


def take_over_round(session: Session, job: Job, items: Sequence[WorkItem]) -> None:
    """Take over what is there already of a job's next round.

    A job in waves asks earlier jobs for its chips and analyses, unless it takes nothing over. What another
    job takes of earlier ones it took at submission, so that its own rows are all that is asked for.
    """
    named = [variant.value for variant in Variant]  # the other rows are of what was trained
    query = select(JobResultKey.variant, JobResultKey.key).where(
        JobResultKey.job_id == job.id, JobResultKey.variant.in_(named)
    )
    asks = until_of(job) is not None and not waves_of(session, job).fresh
    keys = {Variant(variant): key for variant, key in session.execute(query)} if asks else {}
    KnownResults(session, job, spec_of(job), keys).take_round(items)


def _place(row: AnalysisRow) -> tuple[str, str, int, float]:
    return row.analysis, row.setting, row.repeat, row.t_inference

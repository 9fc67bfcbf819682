"""What a runner writes as it finds it: cells, epochs, baselines, artifacts. Each behind the lease's fence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db.blobs import StoredBlob
from app.db.tables import Artifact, Baseline, Cell, Dataset, Epoch, Job, JobBlob, Model, WorkItem
from app.engine.abilities import required
from app.engine.items import Lease, hear_of, hold, made_progress, set_progress
from app.engine.states import record


@dataclass(frozen=True)
class Counts:
    """What was counted over a test set; sums and counts only, so that parts add up exactly.

    Attributes:
        total: samples, positions or labels: what the task counts.
        loss_sum: sum of the loss over them.
        correct: right answers; None for regression.
        correct_top5: right classes among the five likeliest; None without classes, or with five or fewer.
        abs_error_sum: sum of absolute errors, for regression.
        target_spread: sum of squared deviations of the targets from their mean, for regression.
    """

    total: int
    loss_sum: float
    correct: int | None = None
    correct_top5: int | None = None
    abs_error_sum: float | None = None
    target_spread: float | None = None

    def columns(self) -> dict[str, Any]:
        """Return the values as the tables store them: a loss that is not finite is stored as absent."""
        return {
            "total": self.total,
            "correct": self.correct,
            "correct_top5": self.correct_top5,
            "loss_sum": _finite(self.loss_sum),
            "abs_error_sum": _finite(self.abs_error_sum),
            "target_spread": _finite(self.target_spread),
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def save_cell(
    session: Session,
    lease: Lease,
    *,
    variant: str,
    repeat: int,
    t_inference: float,
    counts: Counts,
    samples: int,
) -> None:
    """Store a cell of so many samples once; a cell that is already there stays as it is."""
    job, item = hold(session, lease)
    if session.get(Cell, (job.id, variant, repeat, t_inference)) is not None:
        return
    cell = Cell(job_id=job.id, variant=variant, repeat=repeat, t_inference=t_inference, **counts.columns())
    session.add(cell)
    job.results_version += 1
    set_progress(job, item, min(item.progress_total, item.progress_done + samples))
    made_progress(item)
    data = {"variant": variant, "repeat": repeat, "t_inference": t_inference, **counts.columns()}
    record(session, job, "cell.finished", data)


def save_baseline(session: Session, lease: Lease, *, variant: str, counts: Counts) -> None:
    """Store the floating-point result of one of the job's models, once."""
    job, item = hold(session, lease)
    if session.get(Baseline, (job.id, variant)) is not None:
        return
    session.add(Baseline(job_id=job.id, variant=variant, **counts.columns()))
    job.results_version += 1
    set_progress(job, item, item.progress_total)
    made_progress(item)
    record(session, job, "baseline.finished", {"variant": variant, **counts.columns()})


def save_epoch(
    session: Session,
    lease: Lease,
    *,
    epoch: int,
    metrics: dict[str, float | None],
    blob_key: str,
    progress_done: int,
) -> str | None:
    """Store a finished fine-tuning epoch together with the checkpoint to go on from.

    Returns:
        The key of the checkpoint before, when nothing else uses it.
    """
    job, item = hold(session, lease)
    variant = str(item.payload["variant"])
    if session.get(Epoch, (job.id, variant, epoch)) is None:
        session.add(Epoch(job_id=job.id, variant=variant, epoch=epoch, **metrics))
        record(session, job, "epoch.finished", {"variant": variant, "epoch": epoch, **metrics})
    item.checkpoint = {"epoch": epoch, "blob_key": blob_key}
    set_progress(job, item, progress_done)
    made_progress(item)
    return use_blob(session, job.id, f"checkpoint:{item.key}", blob_key)


def save_checkpoint(session: Session, lease: Lease, blob_key: str) -> None:
    """Note where what the item made is."""
    job, item = hold(session, lease)
    item.checkpoint = {"blob_key": blob_key}
    use_blob(session, job.id, f"checkpoint:{item.key}", blob_key)


def use_blob(session: Session, job_id: str, role: str, blob_key: str) -> str | None:
    """Note that a job uses a blob; return the key of what was in its place if nothing uses that any more."""
    use = session.get(JobBlob, (job_id, role))
    if use is None:
        session.add(JobBlob(job_id=job_id, role=role, blob_key=blob_key))
        return None
    before, use.blob_key = use.blob_key, blob_key
    session.flush()
    if before == blob_key:
        return None
    others = select(JobBlob.role).where(JobBlob.blob_key == before).limit(1)
    return before if session.scalars(others).first() is None else None


def save_sign_of_life(session: Session, lease: Lease) -> None:
    """Note that the item's runner is at work, where it counts nothing."""
    _, item = hold(session, lease)
    hear_of(item)


def save_progress(session: Session, lease: Lease, done: int) -> None:
    """Note how far the item is, in sample-forwards."""
    job, item = hold(session, lease)
    set_progress(job, item, min(done, item.progress_total))


def save_warning(session: Session, lease: Lease, *, code: str, message: str) -> None:
    """Add a warning to the job, once."""
    job, _ = hold(session, lease)
    warning = {"code": code, "message": message}
    if warning not in job.warnings:
        job.warnings = [*job.warnings, warning]
        record(session, job, "job.warning", warning)


def save_artifact(session: Session, lease: Lease, *, name: str, media_type: str, blob: StoredBlob) -> None:
    """Store or replace an artifact of the job."""
    job, _ = hold(session, lease)
    use_blob(session, job.id, f"artifact:{name}", blob.key)
    artifact = session.get(Artifact, (job.id, name)) or Artifact(job_id=job.id, name=name)
    artifact.media_type = media_type
    artifact.size_bytes = blob.size_bytes
    artifact.sha256 = blob.sha256
    artifact.blob_key = blob.key
    session.add(artifact)
    told = {"name": name, "size_bytes": blob.size_bytes, "sha256": blob.sha256}
    record(session, job, "artifact.created", told)


def save_verification(session: Session, lease: Lease, *, state: str, max_rel_diff: float | None) -> None:
    """Store what the verification of the job's model found."""
    job, _ = hold(session, lease)
    model = session.get(Model, job.model_id)
    if model is not None:
        model.verification_state = state
        model.verification_max_rel_diff = _finite(max_rel_diff)


def finished_cells(session: Session, job_id: str, variant: str) -> set[tuple[int, float]]:
    """Return (repeat, t_inference) of the job's cells of a variant."""
    rows = session.execute(
        select(Cell.repeat, Cell.t_inference).where(Cell.job_id == job_id, Cell.variant == variant)
    )
    return {(row.repeat, row.t_inference) for row in rows}


def load_item(session: Session, lease: Lease) -> tuple[Job, WorkItem, Model]:
    """Return the item with its job and model, as a runner needs them to start."""
    job, item = hold(session, lease)
    return job, item, session.get_one(Model, job.model_id)


def dataset_of(session: Session, job: Job) -> Dataset | None:
    """Return the uploaded dataset of a job; None for a built-in one."""
    return None if job.dataset_id is None else session.get_one(Dataset, job.dataset_id)


def pin_device(session: Session, lease: Lease, found: str) -> str:
    """Return the job's device; the first item to ask decides it, since devices draw different numbers."""
    job, _ = hold(session, lease)
    if "device" not in job.execution:
        job.execution = {**job.execution, "device": found}
        statement = update(WorkItem).where(WorkItem.job_id == job.id).values(requires=required(job))
        session.execute(statement.execution_options(synchronize_session=False))
    return str(job.execution["device"])


def checkpoint_of(session: Session, job_id: str, key: str) -> dict[str, Any] | None:
    """Return where what an item of the job made is; None while it is made again."""
    query = select(WorkItem.checkpoint).where(WorkItem.job_id == job_id, WorkItem.key == key)
    checkpoint: dict[str, Any] | None = session.scalars(query).one()
    return checkpoint


def has_item(session: Session, job_id: str, key: str) -> bool:
    """Tell whether the job has an item of that key."""
    query = select(WorkItem.id).where(WorkItem.job_id == job_id, WorkItem.key == key)
    return session.scalars(query).one_or_none() is not None

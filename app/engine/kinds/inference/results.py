"""Results of runners for accuracy over time: cells, baselines, epochs; each behind the lease's fence."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Baseline, Cell, Epoch, Job, Model
from app.engine.items.leases import Lease, hold, made_progress, set_progress
from app.engine.recording import use_blob
from app.engine.specification import task_of
from app.engine.states import record
from simulator.config.tasks import COUNTS, QUANTITIES, TASKS, Counts


def _measured(job: Job, counts: Counts) -> dict[str, Any]:
    """Return the columns of a cell or a baseline: the counts, and what SQL is likely to ask for."""
    return {
        "counts": dict(counts),
        "metric": QUANTITIES[TASKS[task_of(job)].metric].value(counts),
        "loss": QUANTITIES["loss"].value(counts),
    }


def _told(counts: Counts) -> dict[str, float | None]:
    """Return the counts as events show them, absent ones as null."""
    return {count.name: counts.get(count.name) for count in COUNTS}


def save_cell(
    session: Session,
    lease: Lease,
    *,
    variant: str,
    repeat: int,
    t_inference: float,
    counts: Counts,
    progress_done: int,
) -> None:
    """Store a cell and the item's progress with it, once; a cell that is already there stays as it is."""
    job, item = hold(session, lease)
    if session.get(Cell, (job.id, variant, repeat, t_inference)) is not None:
        return
    measured = _measured(job, counts)
    cell = Cell(job_id=job.id, variant=variant, repeat=repeat, t_inference=t_inference, **measured)
    session.add(cell)
    job.results_version += 1
    set_progress(job, item, min(item.progress_total, progress_done))
    made_progress(item)
    data = {"variant": variant, "repeat": repeat, "t_inference": t_inference, **_told(counts)}
    record(session, job, "cell.finished", data)


def save_baseline(session: Session, lease: Lease, *, variant: str, counts: Counts) -> None:
    """Store the floating-point result of one of the job's models, once."""
    job, item = hold(session, lease)
    if session.get(Baseline, (job.id, variant)) is not None:
        return
    session.add(Baseline(job_id=job.id, variant=variant, **_measured(job, counts)))
    job.results_version += 1
    set_progress(job, item, item.progress_total)
    made_progress(item)
    record(session, job, "baseline.finished", {"variant": variant, **_told(counts)})


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


def save_verification(session: Session, lease: Lease, *, state: str, max_rel_diff: float | None) -> None:
    """Store what the verification of the job's model found."""
    job, _ = hold(session, lease)
    model = session.get(Model, job.model_id)
    if model is not None:
        model.verification_state = state
        model.verification_max_rel_diff = (
            max_rel_diff if max_rel_diff is not None and math.isfinite(max_rel_diff) else None
        )


def finished_cells(session: Session, job_id: str, variant: str) -> set[tuple[int, float]]:
    """Return (repeat, t_inference) of the job's cells of a variant."""
    rows = session.execute(
        select(Cell.repeat, Cell.t_inference).where(Cell.job_id == job_id, Cell.variant == variant)
    )
    return {(row.repeat, row.t_inference) for row in rows}

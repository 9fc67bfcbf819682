"""What runners find for accuracy over time: cells, baselines, epochs. Each behind the lease's fence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Baseline, Cell, Epoch, Model
from app.engine.items import Lease, hold, made_progress, set_progress
from app.engine.recording import use_blob
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

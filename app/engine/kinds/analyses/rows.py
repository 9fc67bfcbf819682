"""Rows of analyses, written behind the lease's fence and read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import AnalysisRow
from app.engine.items.leases import Lease, hold, made_progress, set_progress
from app.engine.specification import task_of
from app.engine.states import record
from simulator.config.tasks import QUANTITIES, TASKS


def save_row(
    session: Session,
    lease: Lease,
    *,
    setting: str,
    coordinates: Mapping[str, Any],
    repeat: int,
    t_inference: float,
    counts: Mapping[str, Any],
    progress_done: int,
) -> None:
    """Store what an analysis found on a chip at a time, once; a row that is there already stays as it is.

    `counts` of a pass over the test set have a `total`; others are what the analysis saw otherwise.
    """
    job, item = hold(session, lease)
    analysis, variant = str(item.payload["analysis"]), str(item.payload["variant"])
    if session.get(AnalysisRow, (job.id, analysis, setting, variant, repeat, t_inference)) is not None:
        return
    metric = QUANTITIES[TASKS[task_of(job)].metric].value(counts) if "total" in counts else None
    session.add(
        AnalysisRow(
            job_id=job.id,
            analysis=analysis,
            setting=setting,
            variant=variant,
            repeat=repeat,
            t_inference=t_inference,
            coordinates=dict(coordinates),
            counts=dict(counts),
            metric=metric,
        )
    )
    set_progress(job, item, min(item.progress_total, progress_done))
    made_progress(item)
    where = {"analysis": analysis, "setting": setting, "variant": variant}
    record(session, job, "analysis.row", {**where, "repeat": repeat, "t_inference": t_inference})


def finished_rows(session: Session, job_id: str, analysis: str, variant: str) -> set[tuple[str, int, float]]:
    """Return (setting, repeat, t_inference) of the rows that a job has of an analysis and variant."""
    rows = session.execute(
        select(AnalysisRow.setting, AnalysisRow.repeat, AnalysisRow.t_inference).where(
            AnalysisRow.job_id == job_id, AnalysisRow.analysis == analysis, AnalysisRow.variant == variant
        )
    )
    return {(row.setting, row.repeat, row.t_inference) for row in rows}

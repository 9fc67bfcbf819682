"""What is said of a job's results when it ends: that chips are near chance, or outputs not finite."""

from __future__ import annotations

from typing import Final

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app.db.tables import Baseline, Cell, Job
from app.engine.specification import classes_of, task_of
from app.engine.states import warn
from simulator.config import Variant
from simulator.config.tasks import TASKS, Metric

NEAR_CHANCE: Final = "near_chance"
NON_FINITE: Final = "non_finite_outputs"
_KEPT: Final = 0.25  # of what digital has above guessing: chips with less are near chance
_LEAST_LEAD: Final = 0.05  # of digital over guessing: with less, nothing is said of the hardware


def warn_of_chance(session: Session, job: Job) -> None:
    """Add a warning where chips of a variant are near chance at the first time, which analyses explain."""
    if TASKS[task_of(job)].metric is not Metric.ACCURACY:
        return
    classes = classes_of(session, job.dataset_ref)
    digital = session.scalars(
        select(Baseline.metric).where(Baseline.job_id == job.id, Baseline.variant == Variant.DIGITAL)
    ).one_or_none()
    if not classes or digital is None or digital - 1 / classes < _LEAST_LEAD:
        return
    first = select(func.min(Cell.t_inference)).where(Cell.job_id == job.id).scalar_subquery()
    means = session.execute(
        select(Cell.variant, Cell.t_inference, func.avg(Cell.metric))
        .where(Cell.job_id == job.id, Cell.t_inference == first)
        .group_by(Cell.variant, Cell.t_inference)
        .order_by(Cell.variant)
    )
    for variant, t_inference, accuracy in means:
        if accuracy is None or accuracy - 1 / classes >= _KEPT * (digital - 1 / classes):
            continue
        warn(
            session,
            job,
            pointer="/analyses",
            code=NEAR_CHANCE,
            message=(
                f"{variant} at {t_inference:g} s is right in {accuracy:.1%}, hardly better than guessing "
                f"among {classes} classes; digital is right in {digital:.1%}. The analyses error_budget "
                "and advice say which effect costs it, and what would help "
                f"(POST /v1/jobs/{job.id}/extend, or the field analyses of a job)"
            ),
        )


def warn_of_non_finite(session: Session, job: Job) -> None:
    """Add a warning where outputs, digital or of chips, were not finite, so that there is no loss."""
    digital = session.scalars(
        select(Baseline.variant)
        .where(Baseline.job_id == job.id, Baseline.loss.is_(None))
        .order_by(Baseline.variant)
    )
    for variant in digital:
        message = (
            f"outputs of the network of {variant} in floating point are not finite: NaN counts as a wrong "
            "answer, and there is no loss. Check the model and the scale of the data"
        )
        warn(session, job, pointer="/model", code=NON_FINITE, message=message)
    missing = func.sum(case((Cell.loss.is_(None), 1), else_=0))
    cells = session.execute(
        select(Cell.variant, missing, func.count())
        .where(Cell.job_id == job.id)
        .group_by(Cell.variant)
        .having(missing > 0)
        .order_by(Cell.variant)
    )
    for variant, count, total in cells:
        message = (
            f"outputs of {variant} are not finite in {count} of {total} cells: NaN counts as a wrong answer, "
            "and there is no loss. Look for values of the configuration that are too large or too small"
        )
        warn(session, job, pointer="/rpu_config", code=NON_FINITE, message=message)

"""Results as clients read them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from app.results.statistics import Metric
from simulator.config.tasks import Task


class PointView(BaseModel):
    """The metric over chips at one time.

    Spreads are null for one repeat; all of it is null when the metric of a chip was not finite.
    """

    t_inference: float = Field(description="Seconds after programming.")
    repeats: int
    mean: float | None
    std: float | None
    ci95: tuple[float, float] | None = Field(description="Student's t interval of the mean over chips.")
    p05: float | None
    p95: float | None
    min: float | None
    max: float | None
    loss_mean: float | None = Field(description="Per sample, position or label.")
    mae_mean: float | None = Field(description="Mean absolute error per sample, of a regression.")
    r2_mean: float | None = Field(description="Share of the targets' variance explained, of a regression.")
    top5_mean: float | None = Field(
        description="Share of right classes among the five likeliest, with more than five classes."
    )
    test_set_ci95: tuple[float, float] | None = Field(
        default=None, description="Wilson's interval for the finite test set, on request."
    )


class SeriesView(BaseModel):
    """One variant over time."""

    variant: str
    points: list[PointView]


class CellView(BaseModel):
    """One variant on one chip at one time."""

    variant: str
    repeat: int
    t_inference: float
    correct: int | None
    total: int = Field(description="Samples; of other tasks positions, or labels of all samples.")
    loss_sum: float | None
    correct_top5: int | None = None
    abs_error_sum: float | None = None
    target_spread: float | None = Field(
        default=None, description="Sum of the targets' squared deviations from their mean, of a regression."
    )


class ResultsView(BaseModel):
    """Accuracy over time."""

    job: str
    complete: bool
    task: Task
    metric: Metric
    baseline: dict[str, dict[str, Any]]
    series: list[SeriesView]
    cells: list[CellView] | None = None

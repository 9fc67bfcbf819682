"""Analyses as clients read them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

from simulator.config.analyses.error_budget import BudgetMethod
from simulator.config.effects import Effect
from simulator.config.tasks import Metric


class EstimateView(BaseModel):
    """A mean over chips; null where the metric of a chip was not finite."""

    mean: float | None = Field(description="Mean over chips, in the metric's unit; positive is worse.")
    ci95: tuple[float, float] | None = Field(
        description="Student's t interval of the mean over chips; null for one chip."
    )
    repeats: int = Field(description="Chips that it rests on.")


class TotalView(BaseModel):
    """What a variant loses in all, over the chips that an analysis looks at."""

    variant: str = Field(description="Which network: `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="Seconds after programming.")
    digital: float | None = Field(
        description="The metric of the variant's network in floating point: of `direct` as uploaded, of "
        "others as trained."
    )
    total: EstimateView | None = Field(
        description="What the job's own cells lose against that; null before there are any."
    )
    repeats: int = Field(description="Chips that it rests on.")


class BudgetRowView(BaseModel):
    """What one group of effects costs one variant at one time."""

    variant: str = Field(description="Which network: `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="Seconds after programming.")
    group: Effect = Field(description="Group of effects.")
    on: bool = Field(description="Whether the configuration has it; one that is off costs exactly zero.")
    alone: EstimateView | None = Field(
        description="What is lost with this group on alone, beyond what mapping loses; of `mapping` what is "
        "lost with all groups off."
    )
    without: EstimateView | None = Field(
        description="What would come back without this group: the loss less that with the others on. Null "
        "for `mapping`, which cannot be switched off."
    )
    share: EstimateView | None = Field(
        description="Shapley share of the loss, with `shapley`; shares add up to the total, chip by chip."
    )


class AnalysisBase(BaseModel):
    """What the answers of all analyses have."""

    job: str = Field(description="Id of the job.")
    complete: bool = Field(description="Whether all that the analysis evaluates is there.")
    metric: Metric = Field(description="What the job is judged by; losses are in its unit.")
    totals: list[TotalView] = Field(description="The whole loss, by variant and time.")
    notes: list[str] = Field(
        description="What to know before these numbers are used: where they rest on little."
    )


class ErrorBudgetView(AnalysisBase):
    """Which group of effects costs how much."""

    type: Literal["error_budget"] = Field(description="The analysis.")
    method: BudgetMethod = Field(description="What was asked for.")
    exact: bool | None = Field(
        description="Whether shares are over all orders of the groups; null without shares."
    )
    rows: list[BudgetRowView] = Field(description="By variant, time and group.")


AnalysisView = ErrorBudgetView


class AnalysisState(StrEnum):
    """How far an analysis is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AnalysisItemView(BaseModel):
    """An analysis of a job."""

    type: str = Field(description="The analysis.")
    state: AnalysisState = Field(
        description="How far it is; `failed` and `cancelled` where the job ended before it did."
    )
    done: int = Field(description="Cells that are there.")
    total: int = Field(description="Cells that are planned; a further round may add some.")
    url: str = Field(description="Path of its answer.")


class AnalysesView(BaseModel):
    """The analyses of a job."""

    job: str = Field(description="Id of the job.")
    items: list[AnalysisItemView] = Field(description="In the order of the specification.")

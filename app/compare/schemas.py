"""Jobs side by side, as clients read them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.kit.query import QueryModel
from app.results.formats import DrawnFormat
from app.results.schemas import PointView
from simulator.config.tasks import Metric


class CompareQuery(QueryModel):
    """Which jobs a client compares."""

    job: Annotated[list[str], Field(description="Two to eight jobs; each is compared with the first.")]
    format: Annotated[DrawnFormat | None, Field(description="Wins over `Accept`.")] = None


class ComparedJob(BaseModel):
    """A job that is compared."""

    id: str
    name: str | None
    state: str
    seed: int
    config_hash: str


class Difference(BaseModel):
    """A job's metric minus the first job's, at one time."""

    job: str
    mean: float | None = Field(description="Null where the metric of a chip was not finite.")
    ci95: tuple[float, float] | None = Field(
        description="Interval of the mean difference; null for one chip, and where the mean is null."
    )
    method: Literal["paired", "welch"] = Field(
        description="`paired` over chips of equal number, where the seeds agree; else Welch's interval."
    )
    pairs: int | None = Field(description="Chips that both jobs have; null unless paired.")


class ComparedPoint(BaseModel):
    """One variant at one time, in every job that has it."""

    variant: str
    t_inference: float
    points: dict[str, PointView] = Field(description="By job.")
    differences: list[Difference] = Field(description="Each further job against the first.")


class ConfigDifference(BaseModel):
    """A field in which the jobs differ."""

    pointer: str = Field(description="JSON pointer: `/effective_config/...` or `/spec/...`.")
    values: dict[str, Any] = Field(description="By job; absent where a job has no such field.")


class ComparisonView(BaseModel):
    """Jobs side by side."""

    jobs: list[ComparedJob]
    metric: Metric
    baseline: dict[str, dict[str, dict[str, Any]]] = Field(description="By job, then by model.")
    points: list[ComparedPoint]
    differences: list[ConfigDifference]

"""Jobs side by side, as clients read them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.cost.schemas import BandView
from app.kit.query import QueryModel
from app.results.formats import DrawnFormat
from app.results.schemas import PointView
from simulator.config.tasks import Metric


class CompareQuery(QueryModel):
    """Which jobs a client compares."""

    job: Annotated[list[str], Field(description="Two to eight jobs; each is compared with the first.")]
    format: Annotated[DrawnFormat | None, Field(description="Wins over `Accept`.")] = None


class ComparedCost(BaseModel):
    """What an inference of a compared job costs, by the hardware that the job names."""

    profile: str = Field(description="Name of the hardware profile.")
    energy_j: BandView = Field(description="Energy of an inference, in J.")
    latency_s: BandView = Field(description="Time of an inference, in s.")
    area_mm2: BandView | None = Field(description="Area, in mm2; null where the profile has none.")
    overlaps: list[str] = Field(
        description="Jobs of the comparison whose energy may be equal, since the bands overlap: they have no"
        " order."
    )


class ComparedJob(BaseModel):
    """A job that is compared."""

    id: str = Field(description="Id of this job, a UUID of version 7.")
    name: str | None = Field(description="Name of this job, for people.")
    state: str = Field(description="State of the job.")
    seed: int = Field(description="Seed of every random draw.")
    config_hash: str = Field(
        description="Hash of the effective configuration: equal hashes mean equal hardware."
    )
    cost: ComparedCost | None = Field(
        default=None, description="What an inference costs; null where the job names no hardware."
    )


class Difference(BaseModel):
    """A job's metric minus the first job's, at one time."""

    job: str = Field(description="Id of the job that is compared with the first.")
    mean: float | None = Field(description="Null where the metric of a chip was not finite.")
    ci95: tuple[float, float] | None = Field(
        description="Interval of the mean difference; null for one chip, and where the mean is null."
    )
    ci95_adaptive: tuple[float, float] | None = Field(
        description="The interval that stays valid although what was found decided how many chips there are:"
        " at level 0.05 / pairs of numbers at which the jobs may have stopped. Null where both numbers are"
        " fixed, and within a wave."
    )
    method: Literal["paired", "welch"] = Field(
        description="`paired` over chips of equal number, where the seeds agree; else Welch's interval."
    )
    pairs: int | None = Field(description="Chips that both jobs have; null unless paired.")


class ComparedPoint(BaseModel):
    """One variant at one time, in every job that has it."""

    variant: str = Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="Seconds after programming.")
    points: dict[str, PointView] = Field(description="By job.")
    differences: list[Difference] = Field(description="Each further job against the first.")


class ConfigDifference(BaseModel):
    """A field in which the jobs differ."""

    pointer: str = Field(description="JSON pointer: `/effective_config/...` or `/spec/...`.")
    values: dict[str, Any] = Field(description="By job; absent where a job has no such field.")


class ComparisonView(BaseModel):
    """Jobs side by side."""

    jobs: list[ComparedJob] = Field(description="The jobs, in the order in which they were asked for.")
    metric: Metric = Field(description="What the job is judged by.")
    baseline: dict[str, dict[str, dict[str, Any]]] = Field(description="By job, then by model.")
    points: list[ComparedPoint] = Field(description="Each variant and time that a job has.")
    differences: list[ConfigDifference] = Field(description="The fields in which the jobs differ.")

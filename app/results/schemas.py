"""Results as clients read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.results.lifetime import Censored
from simulator.config.tasks import BESIDE, COUNTS, QUANTITIES, Metric, Task


def _number(kind: type, meaning: str, **field: Any) -> Any:
    """Return the definition of a field that may be null."""
    return kind | None, Field(description=f"{meaning[:1].upper()}{meaning[1:]}.", **field)


class _PointView(BaseModel):
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


# Their fields follow the table of counts and quantities, where type checkers cannot follow.
if TYPE_CHECKING:
    PointView = _PointView
    CellView = BaseModel
else:
    PointView = create_model(
        "PointView",
        __base__=_PointView,
        __doc__=_PointView.__doc__,
        **{f"{name}_mean": _number(float, QUANTITIES[name].meaning) for name in BESIDE},
        test_set_ci95=(
            tuple[float, float] | None,
            Field(default=None, description="Wilson's interval for the finite test set, on request."),
        ),
    )
    CellView = create_model(
        "CellView",
        __doc__="One variant on one chip at one time.",
        variant=(str, ...),
        repeat=(int, ...),
        t_inference=(float, ...),
        **{
            count.name: _number(int if count.kind == "integer" else float, count.meaning, default=None)
            for count in COUNTS
        },
    )


class SeriesView(BaseModel):
    """One variant over time."""

    variant: str
    points: list[PointView]


class ResultsView(BaseModel):
    """Accuracy over time."""

    job: str
    complete: bool
    task: Task
    metric: Metric
    baseline: dict[str, dict[str, Any]]
    series: list[SeriesView]
    cells: list[CellView] | None = None


class MedianView(BaseModel):
    """The median over chips of the time to the threshold."""

    median: float | None = Field(description="In seconds; null where it is censored.")
    ci95: tuple[float | None, float | None] | None = Field(
        description="By binomial order statistics; an end that is censored is null. Null under six chips."
    )
    censored: Censored = Field(
        description="`above`: the median chip still holds at the last evaluated time; `below`: it does not at"
        " the first."
    )


class CrossingView(BaseModel):
    """When one chip first becomes worse than the threshold."""

    repeat: int = Field(description="Number of the chip.")
    time_s: float | None = Field(
        description="Seconds after programming, interpolated in ln t; null where it is censored."
    )
    censored: Censored


class YieldView(BaseModel):
    """The share of chips that hold at one time."""

    t_inference: float = Field(description="Seconds after programming, evaluated or between such times.")
    share: float = Field(description="Chips that have not become worse than the threshold; 0 to 1.")
    ci95: tuple[float, float] = Field(description="Wilson's interval for the number of chips.")


class LifeView(BaseModel):
    """How long the chips of one variant hold."""

    model_config = ConfigDict(serialize_by_alias=True)

    variant: str
    time_to_threshold_s: MedianView
    chips: list[CrossingView] = Field(
        description="Those that were evaluated at all times of the variant so far."
    )
    yield_: list[YieldView] = Field(alias="yield")
    holds_95_percent_until_s: float | None = Field(
        description="Until when 95 % of chips hold; the last evaluated time where they still do. Null under"
        " 20 chips, and where fewer hold at the first time."
    )
    reason: str | None = Field(description="Why that is null, or a lower bound.")


class LifetimeView(BaseModel):
    """When chips become worse than a threshold, and which share of them has not."""

    job: str
    complete: bool = Field(description="Whether all cells that the job asks for are there.")
    metric: Metric
    threshold: float = Field(
        description="A chip holds while its metric is at least (an error: at most) this."
    )
    digital: float | None = Field(description="The metric of the model as uploaded, in floating point.")
    series: list[LifeView]


class HeldAtView(BaseModel):
    """How many chips of a variant hold the threshold up to a time."""

    variant: str
    t_inference: float
    chips: int = Field(description="That hold.")
    of: int = Field(description="Chips that were evaluated at all times.")


class VariantMedianView(MedianView):
    """The median time to the threshold of one variant."""

    variant: str


class MeanView(BaseModel):
    """A variant's metric over chips."""

    mean: float | None
    ci95: tuple[float, float] | None
    repeats: int


class TimeView(BaseModel):
    """What the variants reach at one time."""

    t_inference: float
    variants: dict[str, MeanView]


class FactsView(BaseModel):
    """The numbers that a summary is made of."""

    metric: Metric
    digital: float | None
    threshold: float | None = Field(description="Null where none is given and digital is not known.")
    times: list[TimeView]
    time_to_threshold: list[VariantMedianView]
    holding: HeldAtView | None = Field(description="Null under ten chips.")


class SummaryView(BaseModel):
    """A job's result in words."""

    job: str
    headline: str = Field(description="The sentences that matter most, as one text.")
    sentences: list[str] = Field(description="All sentences, those of the headline first.")
    facts: FactsView

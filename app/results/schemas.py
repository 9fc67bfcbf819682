"""Results as clients read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.cost.schemas import BandView
from app.results.lifetime import Censored
from simulator.config.evaluation import RepeatsUntil
from simulator.config.maintenance import MaintenanceRule, ServiceKind
from simulator.config.tasks import BESIDE, COUNTS, QUANTITIES, Metric, Task


def _number(kind: type, meaning: str, **field: Any) -> Any:
    """Return the definition of a field that may be null."""
    return kind | None, Field(description=f"{meaning[:1].upper()}{meaning[1:]}.", **field)


class _PointView(BaseModel):
    """The metric over chips at one time.

    Spreads are null for one repeat; all of it is null when the metric of a chip was not finite.
    """

    t_inference: float = Field(description="Seconds after programming.")
    repeats: int = Field(description="Chips that were evaluated.")
    mean: float | None = Field(description="Mean of the metric over chips.")
    std: float | None = Field(description="Sample standard deviation over chips; null for one chip.")
    ci95: tuple[float, float] | None = Field(description="Student's t interval of the mean over chips.")
    ci95_adaptive: tuple[float, float] | None = Field(
        description="The interval that stays valid although it is looked at after each wave of chips:"
        " Student's t at level 0.05 / number of waves (Bonferroni). Null where the number of chips is fixed,"
        " and within a wave."
    )
    goal_reached: bool | None = Field(
        description="Whether the half width of `ci95_adaptive` is at most the job's `until_ci95`. Null where"
        " that is null, and where the job judges another variant or time."
    )
    p05: float | None = Field(description="5 % quantile over chips; null for one chip.")
    p95: float | None = Field(description="95 % quantile over chips; null for one chip.")
    min: float | None = Field(description="The lowest value of a chip.")
    max: float | None = Field(description="The best chip's value, or the worst's of an error.")


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
        variant=(str, Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")),
        repeat=(int, Field(description="Number of the chip, from 0.")),
        t_inference=(float, Field(description="Seconds after programming.")),
        **{
            count.name: _number(int if count.kind == "integer" else float, count.meaning, default=None)
            for count in COUNTS
        },
    )


class SeriesView(BaseModel):
    """One variant over time."""

    variant: str = Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")
    points: list[PointView] = Field(description="One point for each time, rising.")


class ResultsView(BaseModel):
    """Accuracy over time."""

    job: str = Field(description="Id of the job.")
    complete: bool = Field(description="Whether all cells that the job asks for are there.")
    task: Task = Field(description="What the network is asked to do.")
    metric: Metric = Field(description="What the job is judged by.")
    baseline: dict[str, dict[str, Any]] = Field(description="Floating-point results, by model.")
    repeats_until: RepeatsUntil | None = Field(
        description="What decides how many chips there are; null where their number is fixed."
    )
    series: list[SeriesView] = Field(description="The metric over time, by variant.")
    maintenance: list[MaintenanceRule] | None = Field(
        default=None,
        description="What was done to chips in service; absent where drift compensation was read out at "
        "every time.",
    )
    cells: list[CellView] | None = Field(
        default=None, description="Every chip at every time, with `?cells=true`."
    )


class MedianView(BaseModel):
    """The median over chips of the time to the threshold."""

    median: float | None = Field(description="In seconds; null where it is censored.")
    ci95: tuple[float | None, float | None] | None = Field(
        description="By binomial order statistics; an end that is censored is null. Null under six chips."
    )
    ci95_adaptive: tuple[float | None, float | None] | None = Field(
        description="The same at level 0.05 / number of waves, which stays valid although it is looked at"
        " after each wave of chips. Null where the number of chips is fixed, within a wave, and of few chips."
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
    censored: Censored = Field(description="What the evaluated times leave open.")


class ShareView(BaseModel):
    """A share of chips at one time."""

    t_inference: float = Field(description="Seconds after programming, evaluated or between such times.")
    share: float = Field(description="Share of the chips, 0 to 1.")
    ci95: tuple[float, float] = Field(description="Wilson's interval for the number of chips.")
    ci95_adaptive: tuple[float, float] | None = Field(
        description="The same at level 0.05 / number of waves. Null where the number of chips is fixed, and"
        " within a wave."
    )


class DoneView(BaseModel):
    """A service that chips got."""

    time_s: float = Field(description="Seconds after programming.")
    do: ServiceKind = Field(description="What was done.")


class ReturnView(BaseModel):
    """What became of the chips that were worse than the threshold, from one evaluated time to the next."""

    from_s: float = Field(description="The evaluated time at which they were worse, in s.")
    to_s: float = Field(description="The next evaluated time, in s.")
    services: list[DoneView] = Field(
        description="What was done to all chips after the first time, up to the second, as far as it matters"
        " at the second; empty where chips come back because readouts differ."
    )
    down: int = Field(description="Chips that were worse than the threshold at the first time.")
    back: int = Field(description="Those of them that are good again at the second.")


class InServiceView(BaseModel):
    """How chips under a schedule of services are at a time, whatever they were before."""

    availability: list[ShareView] = Field(
        description="The share of chips that are good at the time: one that has fallen counts again from the"
        " evaluated time on at which it is seen to be good."
    )
    holds_95_percent_until_s: float | None = Field(
        description="Until when 95 % of chips are good at every time; the last evaluated time where they"
        " still are. Null under 20 chips, and where fewer are good at the first time."
    )
    reason: str | None = Field(description="Why that is null, or a lower bound.")
    returns: list[ReturnView] = Field(
        description="How many chips came back, after which services: for each evaluated time at which chips"
        " were worse than the threshold."
    )
    last: int = Field(description="Chips that are good at the last evaluated time.")


class LifeView(BaseModel):
    """How long the chips of one variant hold."""

    model_config = ConfigDict(serialize_by_alias=True)

    variant: str = Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")
    time_to_threshold_s: MedianView = Field(
        description="The median over chips of the time to the threshold, in seconds."
    )
    chips: list[CrossingView] = Field(
        description="Those that were evaluated at all times of the variant so far."
    )
    yield_: list[ShareView] = Field(
        alias="yield",
        description="The share of chips that have not become worse than the threshold yet, over time. One"
        " that a service brings back has fallen all the same; `in_service` counts it again.",
    )
    holds_95_percent_until_s: float | None = Field(
        description="Until when 95 % of chips have not fallen; the last evaluated time where they still have"
        " not. Null under 20 chips, and where fewer hold at the first time."
    )
    reason: str | None = Field(description="Why that is null, or a lower bound.")
    in_service: InServiceView | None = Field(
        description="How chips are at a time, whatever they were before; null without services."
    )


class LifetimeView(BaseModel):
    """When chips become worse than a threshold, and which share of them has not."""

    job: str = Field(description="Id of the job.")
    complete: bool = Field(description="Whether all cells that the job asks for are there.")
    metric: Metric = Field(description="What the job is judged by.")
    threshold: float = Field(
        description="A chip holds while its metric is at least (an error: at most) this."
    )
    digital: float | None = Field(description="The metric of the model as uploaded, in floating point.")
    maintenance: list[MaintenanceRule] | None = Field(
        default=None,
        description="What was done to chips in service; null where drift compensation was read out at every "
        "time.",
    )
    note: str | None = Field(
        default=None, description="What to know of times between the evaluated ones; null without services."
    )
    series: list[LifeView] = Field(description="How long chips hold, by variant.")


class HeldAtView(BaseModel):
    """How many chips of a variant hold the threshold up to a time."""

    variant: str = Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="Seconds after programming.")
    chips: int = Field(description="That have not fallen until then.")
    of: int = Field(description="Chips that were evaluated at all times.")


class AvailableAtView(BaseModel):
    """How many chips of a variant in service are good at a time, whatever they were before."""

    variant: str = Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="Seconds after programming.")
    chips: int = Field(description="That are good then.")
    again: int = Field(description="Those of them that had fallen before.")
    of: int = Field(description="Chips that were evaluated at all times.")


class VariantMedianView(MedianView):
    """The median time to the threshold of one variant."""

    variant: str = Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")


class MeanView(BaseModel):
    """A variant's metric over chips."""

    mean: float | None = Field(
        description="Mean of the metric over chips; null where a chip's was not finite."
    )
    ci95: tuple[float, float] | None = Field(
        description="Student's t interval of the mean over chips; null for one chip."
    )
    ci95_adaptive: tuple[float, float] | None = Field(
        description="The interval that stays valid although waves of chips are looked at one by one,"
        " which the sentences name where it is there."
    )
    repeats: int = Field(description="Chips that were evaluated.")


class TimeView(BaseModel):
    """What the variants reach at one time."""

    t_inference: float = Field(description="Seconds after programming.")
    variants: dict[str, MeanView] = Field(description="The metric of each variant.")


class CostFactsView(BaseModel):
    """What an inference is estimated to cost."""

    profile: str = Field(description="Name of the hardware profile.")
    energy_j: BandView = Field(description="Energy of an inference, in J.")
    latency_s: BandView = Field(description="Time of an inference, in s.")
    area_mm2: BandView | None = Field(description="Area, in mm2; null where the profile has none.")


class FactsView(BaseModel):
    """The numbers that a summary is made of."""

    metric: Metric = Field(description="What the job is judged by.")
    digital: float | None = Field(
        description="The metric of the model as uploaded, in floating point; null before it is known."
    )
    threshold: float | None = Field(description="Null where none is given and digital is not known.")
    times: list[TimeView] = Field(description="The times that the sentences name.")
    time_to_threshold: list[VariantMedianView] = Field(description="The median over chips, by variant.")
    holding: HeldAtView | None = Field(description="Null under ten chips.")
    available: AvailableAtView | None = Field(description="Null without services, and under ten chips.")
    cost: CostFactsView | None = Field(description="Null where the job names no hardware.")


class SummaryView(BaseModel):
    """A job's result in words."""

    job: str = Field(description="Id of the job.")
    headline: str = Field(description="The sentences that matter most, as one text.")
    sentences: list[str] = Field(description="All sentences, those of the headline first.")
    facts: FactsView = Field(description="The numbers in the sentences.")

"""Analyses as clients read them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.config.analyses.error_budget import BudgetMethod
from simulator.config.analyses.layer_sensitivity import SensitivityMode
from simulator.config.analyses.maintenance_plan import CensoredInterval
from simulator.config.effects import Effect
from simulator.config.maintenance import ServiceKind
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


class SensitivityRowView(BaseModel):
    """What one layer costs one variant at one time."""

    variant: str = Field(description="Which network: `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="Seconds after programming.")
    layer: str = Field(description="Name of the layer, as in the model's report.")
    mode: SensitivityMode = Field(
        description="`one_analog`: it alone is analog; `one_digital`: it alone is digital."
    )
    loss: EstimateView | None = Field(description="What is lost against digital then.")
    won_back: EstimateView | None = Field(
        description="What keeping it digital wins, of `one_digital`: the whole loss less this, chip by chip."
    )
    snr_db: float | None = Field(
        description="Power of the layer's digital output over that of its error, in dB, on the first "
        "training samples and chip; null where there is no error, or before it is known."
    )
    devices_share: float = Field(description="Its share of the devices on tiles.")
    macs_share: float = Field(description="Its share of the multiply-accumulates on tiles.")


class DigitalLayersView(BaseModel):
    """A job's `layers`, ready to send."""

    digital: list[str] = Field(description="Layers to keep digital, those of the job included.")


class LayerSuggestionView(BaseModel):
    """A small set of layers to keep digital that reaches the target, found greedily."""

    layers: DigitalLayersView | None = Field(
        description="The field `layers` of a job; null where only all layers digital would do."
    )
    added: list[str] = Field(description="Layers that are analog in the job.")
    devices_share: float = Field(description="Their share of the devices on tiles.")
    loss: EstimateView | None = Field(
        description="What was lost with them digital, at the worst of the asked times."
    )
    verified: bool = Field(description="Whether it was evaluated itself.")
    target_drop: float = Field(description="The loss that was to be reached.")


class LayerSensitivityView(AnalysisBase):
    """Which layer cannot stand the hardware."""

    type: Literal["layer_sensitivity"] = Field(description="The analysis.")
    mode: SensitivityMode = Field(description="What was asked for.")
    target_drop: float | None = Field(description="The loss that a suggestion has to reach.")
    rows: list[SensitivityRowView] = Field(description="By variant, time, layer and mode.")
    suggestion: dict[str, LayerSuggestionView] = Field(
        description="Layers to keep digital, by variant, once they are known."
    )


class AdviceRowView(BaseModel):
    """A change that is advised for one variant."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    variant: str = Field(description="Which network: `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="Seconds after programming.")
    layer: str | None = Field(description="Name of the layer; null for the whole network.")
    field: str = Field(description="Field of the RPU configuration, dotted.")
    from_: Any = Field(alias="from", description="Its value in the job.")
    to: Any = Field(description="The advised value.")
    expected_gain: float | None = Field(
        description="What the metric wins on training batches and the first chip; positive is better. Null "
        "for one layer, whose gain is in dB."
    )
    expected_gain_db: float = Field(
        description="What the signal-to-noise ratio wins, in dB: of the network's outputs, or of the layer's."
    )
    verified_gain: EstimateView | None = Field(
        description="What the metric wins on the test set, with this change of the whole network alone; null "
        "without `verify`, for one layer, and before it is known."
    )


class TogetherView(BaseModel):
    """All that is advised for one variant, together."""

    expected_gain: float | None = Field(
        description="What the metric wins on training batches and the first chip; positive is better."
    )
    expected_gain_db: float = Field(description="What the outputs' signal-to-noise ratio wins, in dB.")
    snr_db: float = Field(description="That ratio without the changes, in dB; 200 where there is no error.")
    samples: int = Field(description="Training samples that it rests on.")
    verified_gain: EstimateView | None = Field(
        description="What the metric wins on the test set; null without `verify`, and before it is known."
    )


class HistogramView(BaseModel):
    """What a converter gets, in units of its bound."""

    limit: float = Field(description="The bins go from minus this to this.")
    bins: int = Field(description="How many there are.")
    counts: list[int] = Field(description="Values in each, rising.")


class ConverterView(BaseModel):
    """What the converters of one layer should be, after the advised changes of the whole network."""

    variant: str = Field(description="Which network: `direct`, `hwa` or `control`.")
    layer: str = Field(description="Name of the layer.")
    converter: Literal["dac", "adc"] = Field(description="Its inputs' or its outputs'.")
    bound: float = Field(description="Its bound in the job.")
    snr_db: float = Field(description="The layer's signal-to-noise ratio in the job, in dB.")
    best_bound: float = Field(
        description="The bound with the highest ratio at the job's resolution; the job's where another wins "
        "less than half a decibel."
    )
    by_bound: list[tuple[float, float]] = Field(description="Bounds that were tried, with the ratio in dB.")
    unquantised_db: float = Field(description="The ratio at the best bound without rounding, in dB.")
    by_bits: list[tuple[int, float]] = Field(
        description="Bits that were tried at the best bound, with the ratio in dB; n bits are 2^n - 2 steps."
    )
    fewest_bits: int | None = Field(
        description="The fewest bits within 1 dB of that; null where 12 are not enough."
    )
    clipped: float | None = Field(description="Share of values that it clips in the job, on the worst tile.")
    histogram: HistogramView | None = Field(description="What it gets.")


class AdvisedView(BaseModel):
    """Fields of a job with all that is advised, ready to send."""

    rpu_config: dict[str, Any] = Field(description="The job's `rpu_config` with the changes.")
    layers: dict[str, Any] = Field(description="The job's `layers` with the changes.")


class AdviceView(AnalysisBase):
    """What the settings should be."""

    type: Literal["advice"] = Field(description="The analysis.")
    verify: bool = Field(description="Whether what is advised is evaluated.")
    rows: list[AdviceRowView] = Field(description="The changes, by variant; none where none is worth it.")
    together: dict[str, TogetherView] = Field(description="All changes together, by variant.")
    converters: list[ConverterView] = Field(description="The converters of every layer.")
    suggestion: AdvisedView | None = Field(description="The changes as fields of a job; null without any.")


class PlanRowView(BaseModel):
    """An interval between services that was evaluated for one variant."""

    variant: str = Field(description="Which network: `direct`, `hwa` or `control`.")
    t_inference: float = Field(description="The horizon, in seconds after programming.")
    do: ServiceKind = Field(description="What is done to chips, and nothing else.")
    interval_s: float = Field(description="Seconds from one service to the next.")
    share: float = Field(description="Share of chips that hold the target just before every judged service.")
    ci95: tuple[float, float] = Field(description="Wilson's interval for the finite number of chips.")
    chips: int = Field(description="Chips that it rests on.")


class LongestIntervalView(BaseModel):
    """How far apart services may be, for one variant and kind of service."""

    variant: str = Field(description="Which network: `direct`, `hwa` or `control`.")
    do: ServiceKind = Field(description="What is done to chips, and nothing else.")
    longest_interval_s: float | None = Field(
        description="The longest interval of the grid at which enough chips hold the target; null where it "
        "is censored, and before it is known."
    )
    next_interval_s: float | None = Field(
        description="The next one of the grid, at which they do not; null where it is not known."
    )
    censored: CensoredInterval | None = Field(
        description="`above`: chips hold the target until the horizon without any service; `below`: not even "
        "with a service every hour; null before it is known."
    )


class MaintenancePlanView(AnalysisBase):
    """How far apart services may be while enough chips hold a target."""

    type: Literal["maintenance_plan"] = Field(description="The analysis.")
    target: float | None = Field(
        description="Worst value of the metric that a chip may have; null where digital is not known yet."
    )
    chips: float = Field(description="Share of the chips that have to hold it.")
    horizon_s: float = Field(description="How long they have to, in seconds after programming.")
    rows: list[PlanRowView] = Field(description="The evaluated intervals, by variant and kind, rising.")
    longest: list[LongestIntervalView] = Field(description="The answer, by variant and kind of service.")


AnalysisView = ErrorBudgetView | LayerSensitivityView | AdviceView | MaintenancePlanView


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

"""What a job asks for in evaluation and calibration, and which layers it treats apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase, translate
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator
from pydantic_core import InitErrorDetails

from simulator.config.base import Number, Positive, PositiveCount, StrictModel, custom_error, nearest
from simulator.config.faults import Fault
from simulator.config.maintenance import MOST_RULES, MaintenanceRule
from simulator.config.overrides import Location, with_overrides
from simulator.config.rpu import InferenceRPUConfig
from simulator.config.services import TooManyServicesError, planned
from simulator.config.times import TimeAfterProgramming
from simulator.config.training import MAX_BATCH_SIZE

MAX_TIMES = 1000
MAX_REPEATS = 10_000
_NAMED = 10  # layers, in a hint
_COMPARED = 500
MAX_COMBINATIONS = 2000  # of overrides that match the same layer
Repeats = Annotated[PositiveCount, Field(le=MAX_REPEATS)]


class Variant(StrEnum):
    """Which network is evaluated.

    `DIGITAL` is the model as uploaded in floating point; `DIRECT` that model programmed as it is; `HWA` the
    fine-tuned one, programmed; `CONTROL` one fine-tuned as long without analog noise, programmed.
    """

    DIGITAL = "digital"
    DIRECT = "direct"
    HWA = "hwa"
    CONTROL = "control"

    @property
    def is_analog(self) -> bool:
        """Whether it is programmed onto chips."""
        return self is not Variant.DIGITAL

    @property
    def is_trained(self) -> bool:
        """Whether it is fine-tuned first."""
        return self in (Variant.HWA, Variant.CONTROL)


class JudgedOn(StrictModel):
    """Where the number of chips is judged."""

    variant: Variant = Field(description="Network, one of the job's analog ones.")
    t_inference: TimeAfterProgramming = Field(description="Time after programming in s, one of the job's.")


class RepeatsUntil(StrictModel):
    """Chips in waves, until the mean of the metric is known well enough.

    After each wave the job is judged by an interval that stays valid although it is looked at again and
    again (`ci95_adaptive` of its results).
    """

    until_ci95: Positive = Field(
        description="Half width of the 95 % interval of the mean over chips at which the job has enough, in"
        " units of its metric: 0.002 is 0.2 points of accuracy."
    )
    at_least: Annotated[Repeats, Field(ge=2)] = Field(
        default=10, description="Chips of the first wave; each further wave doubles the number in all."
    )
    at_most: Annotated[Repeats, Field(ge=2)] = Field(
        default=400, description="Chips in all after the last wave, whatever is known then."
    )
    on: JudgedOn | None = Field(
        default=None,
        description="The variant and time that are judged; null: those whose interval is the widest.",
    )

    @property
    def waves(self) -> tuple[int, ...]:
        """Chips in all after each wave, fixed before the first: `at_least`, doubled up to `at_most`."""
        totals = []
        total = self.at_least
        while total < self.at_most:
            totals.append(total)
            total *= 2
        return (*totals, self.at_most)


class EvaluateSpec(StrictModel):
    """Accuracy over time: at which times, on how many chip instances, of which networks."""

    t_inference: tuple[TimeAfterProgramming, ...] = Field(
        min_length=1,
        max_length=MAX_TIMES,
        description="Times after programming in s, each once; they are put in order.",
    )
    repeats: Annotated[
        Annotated[Repeats, Tag("number")] | Annotated[RepeatsUntil, Tag("until")],
        Discriminator(lambda value: "until" if isinstance(value, dict | RepeatsUntil) else "number"),
    ] = Field(
        default=10, description="Number of chips, each programmed anew, or what must be known to have enough."
    )
    batch_size: Annotated[PositiveCount, Field(le=MAX_BATCH_SIZE)] = Field(
        default=256, description="Samples per forward pass."
    )
    max_samples: PositiveCount | None = Field(
        default=None, description="Evaluate on the first N test samples only; null: all."
    )
    variants: tuple[Variant, ...] = Field(
        default=(Variant.DIGITAL, Variant.DIRECT), min_length=1, description="Networks to evaluate."
    )
    maintenance: Annotated[tuple[MaintenanceRule, ...], Field(max_length=MOST_RULES)] | None = Field(
        default=None,
        description="What is done to chips while they are in service. Null: drift compensation is read out at"
        " every evaluated time, as if the chip were calibrated before each inference. A list replaces that;"
        " an empty one: nothing is done after programming.",
    )

    @field_validator("t_inference")
    @classmethod
    def _in_order_and_once(cls, times: tuple[float, ...]) -> tuple[float, ...]:
        _refuse_repetition("t_inference", times)
        return tuple(sorted(times))

    @field_validator("variants")
    @classmethod
    def _each_variant_once(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        _refuse_repetition("variants", variants)
        return variants

    @property
    def until(self) -> RepeatsUntil | None:
        """What decides how many chips there are; None where their number is fixed."""
        return self.repeats if isinstance(self.repeats, RepeatsUntil) else None

    @property
    def fewest_repeats(self) -> int:
        """Chips that the job has whatever it finds; those that are planned when it is submitted."""
        return self.repeats.waves[0] if isinstance(self.repeats, RepeatsUntil) else self.repeats

    @property
    def most_repeats(self) -> int:
        """The most chips that the job may make."""
        return self.repeats.waves[-1] if isinstance(self.repeats, RepeatsUntil) else self.repeats

    def maintenance_faults(self) -> list[Fault]:
        """Return whether the schedule has too many services, located in the evaluation."""
        try:
            planned(self.maintenance or (), self.t_inference)
        except TooManyServicesError as error:
            hint = "ask for fewer evaluated times, or for services further apart"
            return [Fault("/maintenance", "too_many_services", str(error), hint)]
        return []

    def repeats_faults(self) -> list[Fault]:
        """Return what of the repeats does not fit the rest, located in the evaluation."""
        until, faults = self.until, []
        if until is None:
            return []
        if until.at_least > until.at_most:
            message = f"at_least is {until.at_least}, more than at_most, {until.at_most}"
            faults.append(Fault("/repeats/at_least", "invalid_value", message, "raise at_most"))
        analog = [variant.value for variant in self.variants if variant.is_analog]
        if not analog:
            message = "repeats are judged on analog variants, and the job has none"
            faults.append(Fault("/repeats", "not_evaluated", message, 'add "direct" to evaluate.variants'))
        elif until.on is not None and until.on.variant.value not in analog:
            named = until.on.variant.value
            message = f"{named} is not among the job's analog variants ({', '.join(analog)})"
            hint = "add it to evaluate.variants, or judge another"
            faults.append(Fault("/repeats/on/variant", "not_evaluated", message, hint))
        if until.on is not None and until.on.t_inference not in self.t_inference:
            message = f"the job does not evaluate at {until.on.t_inference:g} s"
            hint = "add the time to evaluate.t_inference"
            faults.append(Fault("/repeats/on/t_inference", "not_evaluated", message, hint))
        return faults


def _layers_like(pattern: str, names: list[str]) -> str:
    """Return a hint at the layers that a pattern may have been meant for."""
    if not names:
        return "the model has no layer that could be analog"
    guess = nearest(pattern.strip("*?"), names[:_COMPARED])
    told = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return (f"did you mean {guess!r}? " if guess else "") + f"Its layers are {told}"


def _too_many_combinations(location: Location) -> ValidationError:
    message = (
        f"the overrides combine in more than {MAX_COMBINATIONS} ways over the model's layers;"
        " use fewer, or patterns that overlap less"
    )
    error = InitErrorDetails(type=custom_error("too_many_overrides", message), loc=location, input=None)
    return ValidationError.from_exception_data("LayerRules", [error])


def _refuse_repetition(name: str, values: tuple[Any, ...]) -> None:
    twice = sorted({str(getattr(value, "value", value)) for value in values if values.count(value) > 1})
    if twice:
        raise custom_error("repeated_value", f"{name} has values more than once: {', '.join(twice)}")


class CalibrationMethod(StrEnum):
    """How input ranges are found from data."""

    MAX = "Max"
    CACHE_QUANTILE = "CacheQuantile"
    MOVING_QUANTILE = "MovingQuantile"
    MOVING_STD = "MovingStd"


class CalibrationSpec(StrictModel):
    """Calibration of the input ranges on training batches."""

    method: CalibrationMethod = Field(
        default=CalibrationMethod.MAX, description="How the range is found from the inputs of a tile."
    )
    batches: Annotated[PositiveCount, Field(le=10_000)] = Field(
        default=10, description="Number of first training batches to use."
    )
    quantile: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.99995, description="Share of |x| inside the range; the Quantile methods."
    )
    std_alpha: Positive = Field(
        default=3.0, description="Range in standard deviations of the input; MovingStd."
    )


Pattern = Annotated[str, Field(min_length=1, max_length=300)]


class LayerOverride(StrictModel):
    """A part of the configuration that differs for the layers whose name matches."""

    match: Pattern = Field(description="Shell pattern (*, ?, [...]) on the names of the model's report.")
    rpu_config: dict[str, Any] = Field(description="Fields to deep-merge into the job's configuration.")


class LayerRules(StrictModel):
    """Which layers stay digital, and which have a configuration of their own."""

    digital: tuple[Pattern, ...] = Field(
        default=(), max_length=1000, description="Shell patterns of layers to keep digital."
    )
    overrides: tuple[LayerOverride, ...] = Field(
        default=(), max_length=1000, description="Overrides, applied in order."
    )

    def is_digital(self, layer: str) -> bool:
        """Return whether the layer of that name stays digital."""
        return any(fnmatchcase(layer, pattern) for pattern in self.digital)

    def config_for(self, layer: str, base: InferenceRPUConfig, location: Location = ()) -> InferenceRPUConfig:
        """Return the layer's configuration: `base` itself when no override matches.

        Raises:
            pydantic.ValidationError: when an override does not fit, located in `overrides`.
        """
        config = base
        for index, override in enumerate(self.overrides):
            if fnmatchcase(layer, override.match):
                where = (*location, "overrides", index, "rpu_config")
                config = with_overrides(config, override.rpu_config, where)
        return config

    def configs_for(self, layers: Iterable[str], base: InferenceRPUConfig) -> dict[str, InferenceRPUConfig]:
        """Return the configuration of every layer by name, as `config_for` does.

        Raises:
            pydantic.ValidationError: when an override does not fit, located in `overrides`.
        """
        matching = self.matching(layers)
        merged = self.merged(matching.values(), base)
        return {layer: merged[overrides] for layer, overrides in matching.items()}

    def matching(self, layers: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Return the numbers of the overrides that match each layer, in the order in which they apply."""
        matchers = [re.compile(translate(override.match)).match for override in self.overrides]
        return {
            layer: tuple(index for index, matches in enumerate(matchers) if matches(layer))
            for layer in layers
        }

    def merged(
        self, combinations: Iterable[tuple[int, ...]], base: InferenceRPUConfig
    ) -> dict[tuple[int, ...], InferenceRPUConfig]:
        """Return the configuration that each combination of overrides makes of `base`, merged once.

        Combinations that begin alike share their beginnings, which are in the answer too.

        Raises:
            pydantic.ValidationError: when an override does not fit, located in `overrides`.
        """
        merged: dict[tuple[int, ...], InferenceRPUConfig] = {(): base}
        for combination in combinations:
            for end in range(1, len(combination) + 1):
                known = combination[:end]
                if known in merged:
                    continue
                index = known[-1]
                where = ("overrides", index, "rpu_config")
                if len(merged) > MAX_COMBINATIONS:
                    raise _too_many_combinations(where)
                override = self.overrides[index].rpu_config
                before = merged[known[:-1]]
                merged[known] = with_overrides(before, override, where) if override else before
        return merged

    def unmatched(self, layers: Iterable[str]) -> list[Fault]:
        """Return every pattern that matches none of the layers (`pattern_matches_nothing`)."""
        names = list(layers)
        patterns = [(f"/digital/{i}", pattern) for i, pattern in enumerate(self.digital)]
        patterns += [(f"/overrides/{i}/match", override.match) for i, override in enumerate(self.overrides)]
        return [
            Fault(
                pointer,
                "pattern_matches_nothing",
                f"{pattern!r} matches no layer of the model",
                _layers_like(pattern, names),
            )
            for pointer, pattern in patterns
            if not any(fnmatchcase(name, pattern) for name in names)
        ]

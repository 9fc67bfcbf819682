"""What is done to a chip while it is in service: a schedule, and what of it does not fit a job. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, field_validator, model_validator

from simulator.config.base import Number, PositiveCount, StrictModel, custom_error
from simulator.config.faults import ConfigWarning, Fault
from simulator.config.rpu import InferenceRPUConfig
from simulator.config.times import MAX_T_INFERENCE_S, TimeAfterProgramming

MOST_RULES: Final = 20
MOST_TIMES: Final = 1000
MOST_SAMPLES: Final = 1_000_000
SHORTEST_INTERVAL_S: Final = 1e-3
DEFAULT_SAMPLES: Final = 512
FEWEST_SAMPLES: Final = 2  # one has no variance
BATCH_NORM: Final = "BatchNorm"  # the operators of a model's report that have statistics begin so
_FOLDED: Final = "batch_norm_folded"


class ServiceKind(StrEnum):
    """What can be done to a chip in service.

    `COMPENSATE` reads the drift compensation out; `REFRESH_BATCH_NORM` runs the statistics of batch
    normalisation anew on training samples through the chip as it is (Joshi et al. 2020 call it AdaBS);
    `CALIBRATE_INPUT_RANGES` finds the input ranges anew; `REPROGRAM` programs the chip again, and puts back
    statistics and ranges as they were at first.
    """

    COMPENSATE = "compensate"
    REFRESH_BATCH_NORM = "refresh_batch_norm"
    CALIBRATE_INPUT_RANGES = "calibrate_input_ranges"
    REPROGRAM = "reprogram"

    @property
    def needs_samples(self) -> bool:
        """Whether training samples run through the chip."""
        return self in (ServiceKind.REFRESH_BATCH_NORM, ServiceKind.CALIBRATE_INPUT_RANGES)


def _each_once(kinds: tuple[ServiceKind, ...]) -> tuple[ServiceKind, ...]:
    if len(set(kinds)) < len(kinds):
        raise custom_error("repeated_value", "do has services more than once")
    return kinds


# Some kinds of service, each once.
ServiceKinds = Annotated[tuple[ServiceKind, ...], Field(min_length=1), AfterValidator(_each_once)]


class MaintenanceRule(StrictModel):
    """Services that a chip gets again and again, or at some times."""

    every: Annotated[Number, Field(ge=SHORTEST_INTERVAL_S, le=MAX_T_INFERENCE_S)] | None = Field(
        default=None, description="Time from one service to the next in s, from programming on; or `at`."
    )
    at: Annotated[tuple[TimeAfterProgramming, ...], Field(min_length=1, max_length=MOST_TIMES)] | None = (
        Field(default=None, description="Times of the services in s after programming; or `every`.")
    )
    do: ServiceKinds = Field(description="What is done, in this order, each once.")
    samples: Annotated[PositiveCount, Field(ge=FEWEST_SAMPLES, le=MOST_SAMPLES)] = Field(
        default=DEFAULT_SAMPLES,
        description="Training samples for `refresh_batch_norm` and `calibrate_input_ranges`; all where there"
        " are fewer.",
    )

    @field_validator("at")
    @classmethod
    def _in_order_and_once(cls, times: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if times is not None and len(set(times)) < len(times):
            raise custom_error("repeated_value", "at has times more than once")
        return None if times is None else tuple(sorted(times))

    @model_validator(mode="after")
    def _one_of_both(self) -> MaintenanceRule:
        if (self.every is None) == (self.at is None):
            given = "neither is" if self.every is None else "both are"
            hint = 'give {"every": seconds} or {"at": [seconds, ...]}'
            raise custom_error("one_of", f"either every or at says when; {given} given", hint=hint)
        return self


Schedule = tuple[MaintenanceRule, ...]


def maintenance_faults(
    schedule: Schedule,
    configs: Iterable[InferenceRPUConfig],
    report: Mapping[str, Any] | None,
    train_size: int | None,
) -> Iterator[Fault]:
    """Yield what of a schedule cannot be done on a network and its hardware, located in the schedule.

    Args:
        schedule: the services.
        configs: of the layers on tiles.
        report: the model's; None where it is not known.
        train_size: samples of the training set; None where it is not known.
    """
    known = list(configs)
    for number, rule in enumerate(schedule):
        for step, kind in enumerate(rule.do):
            for fault in kind_faults(kind, known, report, train_size):
                yield Fault(f"/{number}/do/{step}", fault.code, fault.message, fault.hint)


def kind_faults(
    kind: ServiceKind,
    configs: Sequence[InferenceRPUConfig],
    report: Mapping[str, Any] | None,
    train_size: int | None,
) -> Iterator[Fault]:
    """Yield why a kind of service cannot be done; arguments as in `maintenance_faults`."""
    if kind is ServiceKind.COMPENSATE and all(one.drift_compensation is None for one in configs):
        yield Fault(
            "",
            "no_drift_compensation",
            "there is no drift compensation to read out",
            'set rpu_config.drift_compensation, for example to {"type": "GlobalDriftCompensation"}',
        )
    if kind is ServiceKind.CALIBRATE_INPUT_RANGES and not any(
        one.pre_post.input_range.enable for one in configs
    ):
        yield Fault(
            "",
            "no_input_range",
            "no layer has an input range to calibrate",
            "set rpu_config.pre_post.input_range.enable to true",
        )
    if kind is ServiceKind.REFRESH_BATCH_NORM and report is not None and not has_batch_norm(report):
        yield Fault("", "no_batch_norm", _no_batch_norm(report), _EXPORT)
    if kind.needs_samples and train_size is not None and train_size < FEWEST_SAMPLES:
        message = f"{kind} needs {FEWEST_SAMPLES} training samples or more, and the dataset has {train_size}"
        yield Fault("", "no_training_samples", message, "upload a dataset with x_train and y_train")


def has_batch_norm(report: Mapping[str, Any]) -> bool:
    """Return whether a model has batch normalisation with statistics of its own."""
    return any(str(layer.get("op", "")).startswith(BATCH_NORM) for layer in report.get("layers", ()))


_EXPORT: Final = (
    "export the network with its BatchNorm layers: torch.onnx.export with dynamo=True and optimize=False, or"
    " with dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False"
)


def _no_batch_norm(report: Mapping[str, Any]) -> str:
    if _FOLDED in report.get("warnings", ()):
        return "batch normalisation was folded into the convolutions, so it has no statistics to refresh"
    return "the model has no BatchNorm layer whose statistics could be refreshed"


def maintenance_warnings(
    schedule: Schedule | None, times_s: Sequence[float], train_size: int | None, *, is_analog: bool
) -> Iterator[ConfigWarning]:
    """Yield what of a schedule is hardly meant, located in the schedule.

    Args:
        schedule: the services; None for a readout at every time.
        times_s: evaluated times, rising.
        train_size: samples of the training set; None where it is not known.
        is_analog: whether the job programs chips.
    """
    if schedule and not is_analog:
        yield ConfigWarning("", "no_effect", "services are done to chips, and the job programs none")
        return
    for number, rule in enumerate(schedule or ()):
        first_s = rule.every if rule.at is None else rule.at[0]
        if first_s is not None and first_s > times_s[-1]:
            message = f"the first service comes after the last evaluated time, {times_s[-1]:g} s"
            yield ConfigWarning(f"/{number}", "no_effect", message)
        needs = [kind.value for kind in rule.do if kind.needs_samples]
        if needs and train_size is not None and 0 < train_size < rule.samples:
            message = f"{' and '.join(needs)} runs on all {train_size} training samples, fewer than asked for"
            yield ConfigWarning(f"/{number}/samples", "fewer_samples", message)

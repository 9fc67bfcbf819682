"""What a job asks for in fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from simulator.config.base import (
    Count,
    NonNegative,
    Number,
    Positive,
    PositiveCount,
    StrictModel,
    Switch,
    TypedConfig,
    custom_error,
)

MAX_EPOCHS = 10_000
MAX_BATCH_SIZE = 65_536
DEFAULT_TEMPERATURE = 2.0

Momentum = Annotated[Number, Field(ge=0, lt=1)]
LearningRate = Annotated[Positive, Field(le=1e3)]


class OptimizerConfig(TypedConfig):
    """Family of the optimisers."""

    family = "optimizer"

    lr: LearningRate = Field(default=0.01, description="Learning rate.")
    weight_decay: NonNegative = Field(default=0.0, description="Weight decay.")


class SGD(OptimizerConfig):
    """Stochastic gradient descent."""

    type: Literal["sgd"] = "sgd"
    momentum: Momentum = Field(default=0.0, description="Momentum.")
    nesterov: Switch = Field(default=False, description="Nesterov momentum; needs momentum > 0.")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise custom_error("nesterov_without_momentum", "nesterov needs momentum > 0")
        return self


class Adam(OptimizerConfig):
    """Adam; weight decay is added to the gradient."""

    type: Literal["adam"] = "adam"
    lr: LearningRate = Field(default=1e-3, description="Learning rate.")
    betas: tuple[Momentum, Momentum] = Field(default=(0.9, 0.999), description="Decay of both moments.")
    eps: Positive = Field(default=1e-8, description="Added to the root of the second moment.")


class AdamW(OptimizerConfig):
    """Adam with decoupled weight decay."""

    type: Literal["adamw"] = "adamw"
    lr: LearningRate = Field(default=1e-3, description="Learning rate.")
    weight_decay: NonNegative = Field(default=0.01, description="Decoupled weight decay.")
    betas: tuple[Momentum, Momentum] = Field(default=(0.9, 0.999), description="Decay of both moments.")
    eps: Positive = Field(default=1e-8, description="Added to the root of the second moment.")


class SchedulerConfig(TypedConfig):
    """Family of the learning-rate schedules, stepped once per epoch."""

    family = "scheduler"


class ConstantSchedule(SchedulerConfig):
    """The learning rate stays."""

    type: Literal["constant"] = "constant"


class CosineSchedule(SchedulerConfig):
    """Half a cosine from the learning rate to `eta_min` over all epochs."""

    type: Literal["cosine"] = "cosine"
    eta_min: NonNegative = Field(default=0.0, description="Learning rate at the end.")


class StepSchedule(SchedulerConfig):
    """The learning rate is multiplied by `gamma` every `step_size` epochs."""

    type: Literal["step"] = "step"
    step_size: PositiveCount = Field(description="Epochs between two steps.")
    gamma: Annotated[Number, Field(gt=0, le=1)] = Field(default=0.1, description="Factor of a step.")


class ExponentialSchedule(SchedulerConfig):
    """The learning rate is multiplied by `gamma` every epoch."""

    type: Literal["exponential"] = "exponential"
    gamma: Annotated[Number, Field(gt=0, le=1)] = Field(default=0.95, description="Factor per epoch.")


class LossType(StrEnum):
    """What fine-tuning minimises."""

    CROSS_ENTROPY = "cross_entropy"
    MSE = "mse"


class Distillation(StrictModel):
    """Learn from the floating-point network's outputs too (Hinton et al., arXiv:1503.02531).

    The teacher is the network as it was before fine-tuning, without analog noise. Its share of the loss is
    the divergence of both outputs' distributions at a temperature T, times T^2; with loss mse it is the
    squared difference of the outputs.
    """

    weight: Annotated[Number, Field(gt=0, le=1)] = Field(
        default=0.5, description="Share of the teacher in the loss; the targets have the rest."
    )
    temperature: Annotated[Positive, Field(le=1e3)] = Field(
        default=DEFAULT_TEMPERATURE,
        description="Softens the outputs of teacher and student; cross_entropy only.",
    )


class EarlyStopping(StrictModel):
    """Stop when validation under noise gets no better; the best epoch's parameters are the result.

    Better is a larger accuracy; for a regression, a smaller loss.
    """

    patience: PositiveCount = Field(
        default=5, description="Stop after that many epochs in a row without a better one."
    )
    min_delta: NonNegative = Field(
        default=0.0, description="An epoch is better when it improves on the best by more than this."
    )


def kept_apart(samples: int, fraction: float) -> int:
    """Return how many training samples validate.

    Args:
        samples: that there are, or that are used of them.
        fraction: `FinetuneSpec.validation_fraction`.

    Raises:
        ValueError: the fraction leaves nothing to train on, or nothing to validate on.
    """
    if fraction == 0:
        return 0
    kept = round(samples * fraction)
    if not 0 < kept < samples:
        raise ValueError(
            f"validation_fraction {fraction:g} of {samples} training samples leaves {samples - kept} "
            f"to train on and {kept} to validate on; both need at least one"
        )
    return kept


class FinetuneSpec(StrictModel):
    """Hardware-aware fine-tuning: how long, with what optimiser, on what loss."""

    epochs: Annotated[PositiveCount, Field(le=MAX_EPOCHS)] = Field(
        description="Passes over the training set."
    )
    batch_size: Annotated[PositiveCount, Field(le=MAX_BATCH_SIZE)] = Field(
        default=64, description="Samples per step."
    )
    optimizer: OptimizerConfig = Field(default_factory=SGD, description="How weights are updated.")
    scheduler: SchedulerConfig = Field(
        default_factory=ConstantSchedule, description="How the learning rate changes over epochs."
    )
    loss: LossType = Field(default=LossType.CROSS_ENTROPY, description="What is minimised.")
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of the target spread over all classes; cross_entropy only."
    )
    grad_clip_norm: Positive | None = Field(
        default=None, description="Largest norm of the whole gradient; null: not clipped."
    )
    max_samples: PositiveCount | None = Field(
        default=None, description="Train on the first N samples only; null: all."
    )
    distillation: Distillation | None = Field(
        default=None, description="Learn from the floating-point network too; null: from the targets alone."
    )
    noise_ramp_epochs: Count = Field(
        default=0,
        description=(
            "N first epochs in which the weight modifier's strength rises: epoch e (from 0) has "
            "(e + 1) / (N + 1) of it, later ones all."
        ),
    )
    validation_fraction: Annotated[Number, Field(ge=0, le=0.9)] = Field(
        default=0.0,
        description="Share of the training samples that is kept apart to validate every epoch under noise.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="Stop when validation gets no better; null: train all epochs."
    )
    rpu_config: dict[str, Any] | None = Field(
        default=None,
        description=(
            "Fields to deep-merge into the job's configuration for training only; `mapping` and "
            "`pre_post.input_range.enable` stay the job's. null: train with the job's configuration."
        ),
    )

    @model_validator(mode="after")
    def _options_fit_together(self) -> Self:
        faults = [
            InitErrorDetails(type=custom_error(code, message), loc=location, input=value)
            for location, value, code, message in self._misfits()
        ]
        if faults:
            raise ValidationError.from_exception_data("FinetuneSpec", faults)
        return self

    def _misfits(self) -> Iterator[tuple[tuple[str, ...], Any, str, str]]:
        """Yield where, what, the code and the message of every option that would be ignored or absurd."""
        teacher = self.distillation
        if self.loss is not LossType.CROSS_ENTROPY:
            if self.label_smoothing:
                message = f"label_smoothing needs loss cross_entropy; leave it at 0 with {self.loss.value}"
                yield ("label_smoothing",), self.label_smoothing, "ignored_argument", message
            if teacher is not None and teacher.temperature != DEFAULT_TEMPERATURE:
                message = f"a temperature needs loss cross_entropy; leave it out with {self.loss.value}"
                yield ("distillation", "temperature"), teacher.temperature, "ignored_argument", message
        elif teacher is not None and teacher.weight == 1 and self.label_smoothing:
            message = "label_smoothing acts on the targets, which have no share with distillation.weight 1"
            yield ("label_smoothing",), self.label_smoothing, "ignored_argument", message
        if self.early_stopping is not None and self.validation_fraction == 0:
            message = "early stopping needs validation: set validation_fraction, for example to 0.1"
            yield ("early_stopping",), None, "validation_missing", message
        if self.noise_ramp_epochs >= self.epochs:
            message = (
                f"the noise never reaches its full strength: noise_ramp_epochs must be less than epochs "
                f"({self.epochs})"
            )
            yield ("noise_ramp_epochs",), self.noise_ramp_epochs, "ramp_too_long", message
        schedule = self.scheduler
        if isinstance(schedule, CosineSchedule) and schedule.eta_min > self.optimizer.lr:
            message = f"the learning rate would rise: eta_min must be at most lr ({self.optimizer.lr:g})"
            yield ("scheduler", "eta_min"), schedule.eta_min, "rising_learning_rate", message

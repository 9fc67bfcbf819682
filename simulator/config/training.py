"""What a job asks for in fine-tuning."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulator.config.base import (
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

Momentum = Annotated[Number, Field(ge=0, lt=1)]


class OptimizerConfig(TypedConfig):
    """Family of the optimisers."""

    family = "optimizer"

    lr: Annotated[Positive, Field(le=1e3)] = Field(default=0.01, description="Learning rate.")
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
    lr: Annotated[Positive, Field(le=1e3)] = Field(default=1e-3, description="Learning rate.")
    betas: tuple[Momentum, Momentum] = Field(default=(0.9, 0.999), description="Decay of both moments.")


class AdamW(OptimizerConfig):
    """Adam with decoupled weight decay."""

    type: Literal["adamw"] = "adamw"
    lr: Annotated[Positive, Field(le=1e3)] = Field(default=1e-3, description="Learning rate.")
    weight_decay: NonNegative = Field(default=0.01, description="Decoupled weight decay.")
    betas: tuple[Momentum, Momentum] = Field(default=(0.9, 0.999), description="Decay of both moments.")


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

    @model_validator(mode="after")
    def _smoothing_needs_classes(self) -> Self:
        if self.label_smoothing and self.loss is not LossType.CROSS_ENTROPY:
            raise custom_error(
                "ignored_argument", "label_smoothing needs loss cross_entropy; leave it at 0 with mse"
            )
        return self

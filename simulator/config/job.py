"""What a job computes: parsed once when it arrives, stored, and read by planning, reuse and workers."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from simulator.config.analyses import AnalysisConfig
from simulator.config.base import StrictModel, custom_error
from simulator.config.evaluation import CalibrationSpec, EvaluateSpec, LayerRules, Variant
from simulator.config.tasks import Task
from simulator.config.training import FinetuneSpec


class Device(StrEnum):
    """Where the job is computed; `auto` is CUDA where the first worker has it."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def _not_a_gpu(value: object) -> object:
    """Explain how a device is named here to a client that names it otherwise."""
    if isinstance(value, str) and re.fullmatch(r"(?i)gpu|nvidia|cuda[:\s]?\d+|gpu[:\s]?\d+|mps|tpu", value):
        hint = "write 'cuda' for an NVIDIA GPU, or 'auto' for CUDA where the worker has it"
        raise custom_error("enum", f"there is no device {value!r}", hint=hint)
    return value


class JobSpec(StrictModel):
    """What decides a job's numbers, besides the model, the data and the RPU configuration."""

    layers: LayerRules | None = Field(
        default=None, description="Layers that stay digital or have a configuration of their own."
    )
    calibration: CalibrationSpec | None = Field(
        default=None, description="Calibration of input ranges, where the configuration has them on."
    )
    finetune: FinetuneSpec | None = Field(
        default=None, description="Fine-tuning, which the variants `hwa` and `control` need."
    )
    evaluate: EvaluateSpec = Field(description="Times, chips and variants of the evaluation.")
    analyses: tuple[AnalysisConfig, ...] = Field(
        default=(), description="What else is asked of the job, each type once: see `/v1/jobs/{id}/analyses`."
    )
    task: Task | None = Field(
        default=None, description="Task of the network; inferred from model and data when absent."
    )
    seed: int = Field(default=0, ge=0, le=2**63 - 1, strict=True, description="Seed of every random draw.")
    device: Annotated[Device, BeforeValidator(_not_a_gpu)] = Field(
        default=Device.AUTO, description="Device that computes the job."
    )

    @field_validator("analyses")
    @classmethod
    def _each_type_once(cls, analyses: tuple[AnalysisConfig, ...]) -> tuple[AnalysisConfig, ...]:
        types = [one.type for one in analyses]
        twice = sorted({one for one in types if types.count(one) > 1})
        if twice:
            raise custom_error("repeated_value", f"analyses have types more than once: {', '.join(twice)}")
        return analyses

    @property
    def rules(self) -> LayerRules:
        """Which layers stay digital, and which have a configuration of their own."""
        return self.layers or LayerRules()

    @property
    def analog(self) -> tuple[Variant, ...]:
        """The variants that are programmed onto chips, in the order of `Variant`."""
        return tuple(one for one in Variant if one.is_analog and one in self.evaluate.variants)

    @property
    def trained(self) -> tuple[Variant, ...]:
        """The variants that are fine-tuned first, in the order of `Variant`."""
        return tuple(one for one in Variant if one.is_trained and one in self.evaluate.variants)

    @property
    def described(self) -> Variant | None:
        """The variant whose tiles the job's files describe: the fine-tuned one before others."""
        preferred = (Variant.HWA, Variant.DIRECT, Variant.CONTROL)
        return next((one for one in preferred if one in self.evaluate.variants), None)

    @property
    def cells(self) -> int:
        """How many cells the job has at the most: variants times chips times times after programming."""
        return len(self.analog) * self.evaluate.most_repeats * len(self.evaluate.t_inference)

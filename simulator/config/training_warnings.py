"""What is doubtful about a fine-tuning: no weight noise, options that have no effect."""

from __future__ import annotations

from collections.abc import Iterable

from simulator.config.faults import ConfigWarning
from simulator.config.no_effect import has_weight_noise
from simulator.config.rpu import InferenceRPUConfig
from simulator.config.training import FinetuneSpec, StepSchedule


def training_warnings(config: InferenceRPUConfig) -> list[ConfigWarning]:
    """Return what is doubtful about fine-tuning with this configuration (`hwa_without_weight_noise`)."""
    if has_weight_noise(config):
        return []
    message = "fine-tuning without weight noise hardly makes a network robust: set modifier, e.g. AddNormal"
    return [ConfigWarning("/modifier/type", "hwa_without_weight_noise", message)]


def finetune_warnings(spec: FinetuneSpec, configs: Iterable[InferenceRPUConfig]) -> list[ConfigWarning]:
    """Return which options of a fine-tuning have no effect (`no_effect`).

    Args:
        spec: the fine-tuning; pointers are relative to it.
        configs: of all layers that are trained on analog tiles; none where training is digital.
    """
    found = []
    if spec.noise_ramp_epochs and not any(has_weight_noise(config) for config in configs):
        message = "noise_ramp_epochs has no effect: no layer is trained with weight noise (see modifier)"
        found.append(ConfigWarning("/noise_ramp_epochs", "no_effect", message))
    schedule = spec.scheduler
    if isinstance(schedule, StepSchedule) and schedule.step_size >= spec.epochs:
        message = f"the learning rate stays: step_size {schedule.step_size} is not less than epochs"
        found.append(ConfigWarning("/scheduler/step_size", "no_effect", message))
    stopping = spec.early_stopping
    if stopping is not None and stopping.patience >= spec.epochs:
        message = (
            f"training never stops early: patience {stopping.patience} is not less than epochs; the best "
            "epoch is kept nevertheless"
        )
        found.append(ConfigWarning("/early_stopping/patience", "no_effect", message))
    return found

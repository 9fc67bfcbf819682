"""The configuration that a network is trained with: the evaluation's, with the fine-tuning's overrides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from simulator.config.evaluation import LayerRules
from simulator.config.faults import Fault
from simulator.config.idle import without_idle
from simulator.config.overrides import Location, with_overrides
from simulator.config.rpu import InferenceRPUConfig, effective
from simulator.config.training import FinetuneSpec

# No training step programs a chip: what programming, time and reading do is no part of training.
NOT_TRAINED_WITH: Final = ("noise_model", "drift_compensation")


def training_config(
    config: InferenceRPUConfig, spec: FinetuneSpec | None, location: Location = ()
) -> InferenceRPUConfig:
    """Return the configuration of training: `config` itself where the fine-tuning overrides nothing.

    Args:
        config: the evaluation's, as it is stored: with every default filled in.
        spec: the fine-tuning; None overrides nothing.
        location: where the overrides stand, to go before the locations of errors.

    Raises:
        pydantic.ValidationError: listing every fault of the result.
    """
    if spec is None or spec.rpu_config is None:
        return config
    return with_overrides(config, spec.rpu_config, location)


def trained_with(config: InferenceRPUConfig) -> dict[str, Any]:
    """Return the part of a configuration that training depends on, in its effective form."""
    return {name: value for name, value in effective(config).items() if name not in NOT_TRAINED_WITH}


def decides_training(config: InferenceRPUConfig, rules: LayerRules) -> dict[str, Any]:
    """Return the part of a configuration that decides what training finds, in its effective form.

    A field without effect counts as its default, unless layers have overrides, which may give it one there.
    """
    return trained_with(config if rules.overrides else without_idle(config))


def training_config_faults(evaluation: InferenceRPUConfig, training: InferenceRPUConfig) -> Iterator[Fault]:
    """Yield why weights of one configuration are not those of the other (`differs_from_evaluation`).

    Pointers are relative to the training's overrides.
    """
    theirs = effective(training)["mapping"]
    for name, value in effective(evaluation)["mapping"].items():
        if theirs.get(name) != value:
            yield _differs(f"/mapping/{name}", value)
    enable = evaluation.pre_post.input_range.enable
    if training.pre_post.input_range.enable != enable:
        yield _differs("/pre_post/input_range/enable", enable)


def _differs(pointer: str, value: object) -> Fault:
    message = f"training must have the evaluation's value, {value!r}: the trained network lies on its tiles"
    hint = "leave it out here, or change it in the job's rpu_config"
    return Fault(pointer, "differs_from_evaluation", message, hint)

"""The same works on aihwkit and aihwkit-lightning, where they are installed; they are never needed.

aihwkit is the reference of behaviour; here it is only timed, on its C++ tile.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from enum import Enum
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator.config import InferenceRPUConfig, preset
from simulator.config.base import TypedConfig
from simulator.config.faults import leaf_fields

AIHWKIT = importlib.util.find_spec("aihwkit") is not None
LIGHTNING = importlib.util.find_spec("aihwkit_lightning") is not None


def configurations() -> dict[str, Any]:
    """Return aihwkit's configurations of the same physics as our presets; empty without aihwkit."""
    if not AIHWKIT:
        return {}
    from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
    from aihwkit.simulator import configs
    from aihwkit.simulator.presets import StandardHWATrainingPreset

    example = with_fields_of(preset("PCMExamplePreset"), configs.InferenceRPUConfig())
    example.noise_model = PCMLikeNoiseModel(g_max=25.0)
    example.drift_compensation = GlobalDriftCompensation()
    return {"PCMExample": example, "StandardHWATraining": StandardHWATrainingPreset()}


def with_fields_of(ours: InferenceRPUConfig, theirs: Any) -> Any:
    """Set what differs from the defaults, which are the same, in a configuration of the same field names.

    Args:
        ours: what is simulated; its noise model and drift compensation are objects of other classes there.
        theirs: changed in place, and returned.
    """
    for dotted, value, default in leaf_fields(ours):
        if value == default or isinstance(value, TypedConfig):
            continue
        *parents, name = dotted.split(".")
        part = reduce(getattr, parents, theirs)
        kind = type(getattr(part, name))
        setattr(part, name, kind(value.value) if isinstance(value, Enum) else value)
    return theirs


def convert(digital: nn.Module, config: Any) -> nn.Module:
    """Return the network on aihwkit's tiles."""
    from aihwkit.nn.conversion import convert_to_analog

    model: nn.Module = convert_to_analog(copy.deepcopy(digital), config)
    return model


def steps(digital: nn.Module, images: Tensor, *, training: bool) -> dict[str, Callable[[], object]]:
    """Return a training step, or an evaluation batch, of each library that is installed."""
    found: dict[str, Callable[[], object]] = {}
    for name, config in configurations().items():
        model = convert(digital, config)
        found[f"aihwkit, {name}"] = _training(model, images) if training else _evaluation(model, images)
    if LIGHTNING:
        from aihwkit_lightning.nn.conversion import convert_to_analog
        from aihwkit_lightning.simulator.configs import TorchInferenceRPUConfig

        model = convert_to_analog(copy.deepcopy(digital), TorchInferenceRPUConfig())
        found["aihwkit-lightning"] = (
            _plain_training(model, images) if training else _plain_evaluation(model, images)
        )
    return found


def _training(model: nn.Module, images: Tensor) -> Callable[[], object]:
    from aihwkit.optim import AnalogSGD

    optimizer = AnalogSGD(model.parameters(), lr=0.01)
    optimizer.regroup_param_groups(model)
    return _step(model.train(), images, optimizer)


def _plain_training(model: nn.Module, images: Tensor) -> Callable[[], object]:
    return _step(model.train(), images, torch.optim.SGD(model.parameters(), lr=0.01))


def _step(model: nn.Module, images: Tensor, optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    targets = torch.arange(len(images)) % 10

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), targets).backward()
        optimizer.step()

    return step


def _evaluation(model: nn.Module, images: Tensor) -> Callable[[], object]:
    model.eval()
    model.program_analog_weights()  # type: ignore[operator]
    model.drift_analog_weights(3600.0)  # type: ignore[operator]
    return _plain_evaluation(model, images)


def _plain_evaluation(model: nn.Module, images: Tensor) -> Callable[[], object]:
    model.eval()

    def batch() -> None:
        with torch.inference_mode():
            model(images)

    return batch

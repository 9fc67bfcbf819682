"""The same works on aihwkit and aihwkit-lightning, where they are installed; they are never needed.

aihwkit is the reference of behaviour; here it is only timed, on its C++ tile.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

AIHWKIT = importlib.util.find_spec("aihwkit") is not None
LIGHTNING = importlib.util.find_spec("aihwkit_lightning") is not None


def configurations() -> dict[str, Any]:
    """Return aihwkit's configurations of the same physics as our presets; empty without aihwkit."""
    if not AIHWKIT:
        return {}
    from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
    from aihwkit.simulator.configs import InferenceRPUConfig, WeightNoiseType
    from aihwkit.simulator.presets import StandardHWATrainingPreset

    example = InferenceRPUConfig()
    example.forward.inp_res = 1 / 64.0
    example.forward.out_res = 1 / 256.0
    example.forward.w_noise_type = WeightNoiseType.ADDITIVE_CONSTANT
    example.forward.w_noise = 0.02
    example.noise_model = PCMLikeNoiseModel(g_max=25.0)
    example.drift_compensation = GlobalDriftCompensation()
    return {"PCMExample": example, "StandardHWATraining": StandardHWATrainingPreset()}


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

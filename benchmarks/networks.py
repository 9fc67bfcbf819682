"""The networks and configurations that are measured."""

from __future__ import annotations

from torch import nn

from simulator.config import InferenceRPUConfig, preset


def lenet() -> nn.Module:
    """LeNet-5 for 28x28 images (LeCun et al., Proc. IEEE 86, 1998), with ReLU and max pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def static_range() -> InferenceRPUConfig:
    """StandardHWATraining with neither IR drop nor read noise: a static input range, one output noise."""
    config = preset("StandardHWATrainingPreset")
    config.forward.ir_drop = 0.0
    config.forward.w_noise = 0.0
    return config


def static_range_with_read_noise() -> InferenceRPUConfig:
    """StandardHWATraining without IR drop."""
    config = preset("StandardHWATrainingPreset")
    config.forward.ir_drop = 0.0
    return config


def standard() -> InferenceRPUConfig:
    """StandardHWATraining as it is."""
    return preset("StandardHWATrainingPreset")


def pcm_example() -> InferenceRPUConfig:
    """PCMExample: a scale for each input vector, iterative bound management."""
    return preset("PCMExamplePreset")

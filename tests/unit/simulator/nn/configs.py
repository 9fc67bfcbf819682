"""Configurations that the tests of this folder share."""

from __future__ import annotations

import torch

from simulator.config import InferenceRPUConfig


def perfect(**parts):
    """Products without any imperfection; programming stays noisy unless it is told otherwise."""
    return InferenceRPUConfig.model_validate({"forward": {"is_perfect": True}, **parts})


def noiseless(**parts):
    """Quantised products, devices without noise and drift."""
    return InferenceRPUConfig.model_validate(
        {"forward": {"out_noise": 0.0}, "noise_model": SILENT_DEVICES, **parts}
    )


SILENT_DEVICES = {
    "type": "PCMLikeNoiseModel",
    "prog_noise_scale": 0.0,
    "read_noise_scale": 0.0,
    "drift_scale": 0.0,
}
STATIC = {"out_noise": 0.0, "noise_management": "None", "bound_management": "None"}


def normal(*shape, seed=0):
    """Draws that are the same in every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

"""What a device can be at all: one of finitely many conductances, or stuck at one of the two ends.

Levels are evenly spaced between the smallest and the largest conductance of the converter. A stuck device
keeps exactly its conductance at all times: no pulse, no drift and no read noise moves it. It is a device
without a switching volume, open (no conductance but the smallest) or shorted (the largest).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulator.config import NoiseModelConfig


def nearest_level(g_us: Tensor, states: int, g_min_us: float, g_max_us: float) -> Tensor:
    """Return the nearest of the evenly spaced conductances, in uS.

    Args:
        g_us: conductances in uS, any shape.
        states: how many conductances there are, 2 at least.
        g_min_us: the smallest.
        g_max_us: the largest.
    """
    step_us = (g_max_us - g_min_us) / (states - 1)
    return ((g_us - g_min_us) / step_us).round_().clamp_(0, states - 1).mul_(step_us).add_(g_min_us)


def draw_stuck(
    like: list[Tensor], config: NoiseModelConfig, g_min_us: float, g_max_us: float, faults: torch.Generator
) -> tuple[Tensor, ...]:
    """Draw which devices of a tile are stuck, each by itself.

    Args:
        like: the conductances of the devices, one tensor `[out, in]` per device of a cell.
        config: has the shares.
        g_min_us: where the one share is stuck.
        g_max_us: where the other is.
        faults: the chip instance's stream.

    Returns:
        What each device is stuck at, in uS; NaN where it is not stuck.
    """
    stuck = []
    for g_us in like:
        chance = torch.rand(g_us.shape, generator=faults, device=g_us.device)
        values = torch.full_like(g_us, math.nan)
        values[chance < config.stuck_at_zero + config.stuck_at_max] = g_max_us
        values[chance < config.stuck_at_zero] = g_min_us
        stuck.append(values)
    return tuple(stuck)


def with_stuck(conductances_us: list[Tensor], stuck_us: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the conductances with those of stuck devices in their places."""
    return [
        torch.where(values.isnan(), g_us, values)
        for g_us, values in zip(conductances_us, stuck_us, strict=True)
    ]


def cells_with_stuck(stuck_us: tuple[Tensor, ...]) -> Tensor:
    """Return which cells `[out, in]` have a stuck device."""
    return ~torch.stack(stuck_us).isnan().all(dim=0)

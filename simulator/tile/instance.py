"""Parameters that a chip instance draws once: offsets, nonlinearities, noise levels, read asymmetries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.tile.plan import TilePlan


@dataclass(frozen=True)
class InstanceParameters:
    """What differs between chips of the same configuration; None where the configuration has no spread.

    Attributes:
        voltage_offset: `[O]`, voltage offset of each output, relative to the read voltage, not negative.
        nonlinearity: `[O]`, slope of each output's nonlinearity, per output unit.
        out_noise: `[O]`, standard deviation of the noise before the ADC, per output.
        read_asymmetry: `[O, I]`, factor of each weight for negative inputs.
    """

    voltage_offset: Tensor | None = None
    nonlinearity: Tensor | None = None
    out_noise: Tensor | None = None
    read_asymmetry: Tensor | None = None


NO_SPREAD = InstanceParameters()


def draw_instance(
    plan: TilePlan, out_features: int, in_features: int, generator: torch.Generator
) -> InstanceParameters:
    """Draw the parameters of one chip instance of a tile.

    Args:
        plan: the tile's plan.
        out_features: outputs of the tile.
        in_features: inputs of the tile.
        generator: the instance's stream; its device is where the parameters live.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=generator.device)

    offset = nonlinearity = out_noise = asymmetry = None
    if plan.offset_std > 0:
        offset = (plan.offset_std * normal(out_features)).clamp_(min=0)
    if plan.nonlinearity > 0 and plan.nonlinearity_std > 0:
        nonlinearity = (plan.nonlinearity * (1 + plan.nonlinearity_std * normal(out_features))).abs_()
    if plan.out_noise > 0 and plan.out_noise_std > 0:
        out_noise = (plan.out_noise * (1 + plan.out_noise_std * normal(out_features))).abs_()
    if plan.separate_passes and plan.read_asymmetry_std > 0:
        asymmetry = 1 + plan.read_asymmetry_std * normal(out_features, in_features)
    return InstanceParameters(offset, nonlinearity, out_noise, asymmetry)

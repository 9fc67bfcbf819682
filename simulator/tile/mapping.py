"""The mapping of logical weights onto a tile: these divided by a scale, which training may change.

A mapping scale is `[]` for the tile or `[O]` for its outputs; None stands for one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simulator.config.hwa import WeightClipParameter, WeightRemapParameter
from simulator.config.mapping import MappingParameter
from simulator.tile.weights import clip_weights, remap_scales, update_in_place


@torch.no_grad()
def mapping_scale(logical_OI: Tensor, mapping: MappingParameter) -> Tensor:
    """Return the scale with which the weights' absolute maximum becomes omega on the tile, `[]` or `[O]`.

    Args:
        logical_OI: the tile's block of logical weights.
        mapping: says omega, and whether each output has a scale of its own. Without omega the scale is one.
    """
    omega = mapping.weight_scaling_omega
    if omega == 0:
        return logical_OI.new_ones(())
    maximum = logical_OI.abs().amax(dim=1) if mapping.weight_scaling_columnwise else logical_OI.abs().max()
    return torch.where(maximum > 0, maximum / omega, 1.0)


def onto_tile(logical_OI: Tensor, scale: Tensor | None) -> Tensor:
    """Return the weights on the tile, `[O, I]`."""
    return logical_OI if scale is None else logical_OI / _of_rows(scale)


def off_tile(tile_OI: Tensor, scale: Tensor | None) -> Tensor:
    """Return the logical weights that tile weights stand for, `[O, I]`."""
    return tile_OI if scale is None else tile_OI * _of_rows(scale)


def _of_rows(scale: Tensor) -> Tensor:
    return scale if scale.dim() == 0 else scale.unsqueeze(1)


def clip_and_remap(
    logical_OI: Tensor, scale: Tensor | None, clip: WeightClipParameter, remap: WeightRemapParameter
) -> Tensor:
    """Clip, then remap, after an optimiser step; return the block's new logical weights.

    Args:
        logical_OI: the block of logical weights; the result is this block where it was changed in place.
        scale: the mapping scale; it is overwritten.
        clip: how weights are clipped.
        remap: how they are remapped.
    """
    if scale is not None and update_in_place(logical_OI, scale, clip, remap):
        return logical_OI
    with torch.no_grad():
        weights = onto_tile(logical_OI, scale)
        clipped = clip_weights(weights, clip)
        if clipped is not weights:
            logical_OI = off_tile(clipped, scale)
        if scale is not None:
            scale.copy_(remap_scales(clipped, scale, remap))
        return logical_OI

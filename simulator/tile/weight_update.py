"""What follows an optimiser step: clipping weights, and rescaling them to the conductance range.

Both act on one tile's normalised weights; docs/quirks.md 35 to 38 says where the reference's tiles differ.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from simulator.config.enums import WeightClipType, WeightRemapType
from simulator.config.hwa import WeightClipParameter, WeightRemapParameter
from simulator.tile import fused


@torch.no_grad()
def clip_weights(weights_OI: Tensor, clip: WeightClipParameter) -> Tensor:
    """Return the weights clipped symmetrically around zero.

    FixedValue clips at `fixed_value`; LayerGaussian at `sigma` standard deviations of the tile's weights, and
    not where all weights are equal; AverageChannelMax at the mean over outputs of their absolute maxima. A
    positive `fixed_value` limits the other two as well; a non-positive one does nothing.
    """
    if clip.type is WeightClipType.NONE or weights_OI.numel() == 0:
        return weights_OI
    bound = weights_OI.new_tensor(torch.inf)
    if clip.type is WeightClipType.LAYER_GAUSSIAN and weights_OI.numel() > 1:
        spread = weights_OI.std()
        bound = torch.where(spread > 0, clip.sigma * spread, bound)
    elif clip.type is WeightClipType.AVERAGE_CHANNEL_MAX:
        bound = weights_OI.abs().amax(dim=1).mean()
    if clip.fixed_value > 0:
        bound = bound.clamp(max=clip.fixed_value)
    return weights_OI.clamp(-bound, bound)


@torch.no_grad()
def remap_scales(weights_OI: Tensor, scales: Tensor, remap: WeightRemapParameter) -> Tensor:
    """Return new output scales so that the weights' absolute maximum becomes `remapped_wmax`.

    The product of weights and scales stays: the new weights are `weights * scales / new_scales`.

    Args:
        weights_OI: normalised weights of the tile.
        scales: their present output scales, `[O]` or `[]`.
        remap: one factor for the tile (LayerwiseSymmetric) or one per output (ChannelwiseSymmetric). Outputs
            of zeros keep their scale. With `max_scale_range` no scale exceeds that multiple of the smallest
            present one, or of `max_scale_ref` if that is larger.
    """
    if remap.type is WeightRemapType.NONE or weights_OI.numel() == 0:
        return scales
    if remap.type is WeightRemapType.LAYERWISE_SYMMETRIC:
        factor = weights_OI.abs().max() / remap.remapped_wmax
        return scales * torch.where(factor > 0, factor, 1.0)
    factor = weights_OI.abs().amax(dim=1) / remap.remapped_wmax
    new_scales = scales * torch.where(factor > 0, factor, 1.0)
    if remap.max_scale_range > 0:
        reference = scales.min().clamp(min=remap.max_scale_ref)
        new_scales = new_scales.clamp(max=remap.max_scale_range * reference)
    return new_scales


def update_in_place(
    logical_OI: Tensor, scales: Tensor, clip: WeightClipParameter, remap: WeightRemapParameter
) -> bool:
    """Clip at a fixed value and remap each output, in one pass over logical weights; see above.

    Args:
        logical_OI: the tile's weights times their scales; they are overwritten.
        scales: `[O]`; they are overwritten.
        clip: how weights are clipped.
        remap: how they are remapped.

    Returns:
        Whether it was done: it needs the kernels, and some options need more than a pass.
    """
    clips, remaps = clip.type is not WeightClipType.NONE, remap.type is not WeightRemapType.NONE
    if (
        (clips and clip.type is not WeightClipType.FIXED_VALUE)
        or (remaps and (remap.type is not WeightRemapType.CHANNELWISE_SYMMETRIC or remap.max_scale_range > 0))
        or scales.dim() != 1
        or logical_OI.stride(1) != 1
        or not fused.at_hand(logical_OI, scales)
    ):
        return False
    rows, length = logical_OI.shape
    block = max(1, fused.TASK // max(length, 1))
    fused.kernels().update_weights(
        -(-rows // block),
        logical_OI.data_ptr(),
        logical_OI.stride(0),
        rows,
        length,
        block,
        clips,
        clip.fixed_value if clips and clip.fixed_value > 0 else math.inf,
        scales.data_ptr(),
        remap.remapped_wmax if remaps else 0.0,
    )
    increment_version((logical_OI, scales))
    return True

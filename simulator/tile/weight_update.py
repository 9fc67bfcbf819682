"""What follows an optimiser step: clipping weights, and rescaling them to the conductance range.

Both act on one tile's normalised weights; docs/quirks.md 35 to 38 says where the reference's tiles differ.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simulator.config.enums import WeightClipType, WeightRemapType
from simulator.config.hwa import WeightClipParameter, WeightRemapParameter


@torch.no_grad()
def clip_weights(weights_OI: Tensor, clip: WeightClipParameter) -> Tensor:
    """Return the weights clipped symmetrically around zero.

    FixedValue clips at `fixed_value`; LayerGaussian at `sigma` standard deviations of the tile's weights;
    AverageChannelMax at the mean over outputs of their absolute maxima. A positive `fixed_value` limits the
    other two as well; a non-positive one does nothing.
    """
    if clip.type is WeightClipType.NONE or weights_OI.numel() == 0:
        return weights_OI
    bound = weights_OI.new_tensor(torch.inf)
    if clip.type is WeightClipType.LAYER_GAUSSIAN and weights_OI.numel() > 1:
        bound = clip.sigma * weights_OI.std()
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

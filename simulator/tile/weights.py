"""What hardware-aware training does to a tile's weights: modifiers, clipping, remapping.

A modifier acts in one forward and backward pass; clipping and remapping follow an optimiser step, and act on
one tile's normalised weights (docs/quirks.md 35 to 38 says where the reference's tiles differ).

Sources: Joshi et al., Nat. Commun. 11, 2473 (2020) (additive noise); Zhou et al., arXiv:1606.06160 (DoReFa).
The noise carries no gradient: the gradient of the modified weights goes to the clean ones as it is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from simulator.config.enums import DeviceState, WeightClipType, WeightModifierType, WeightRemapType
from simulator.config.hwa import WeightClipParameter, WeightModifierParameter, WeightRemapParameter
from simulator.config.noise_models import PCMLikeNoiseModel
from simulator.tile import fast
from simulator.tile.fast import arrays
from simulator.tile.plan import grid_step

_DISCRETIZING = (WeightModifierType.DISCRETIZE, WeightModifierType.DISCRETIZE_ADD_NORMAL)
_NORMAL = (WeightModifierType.ADD_NORMAL, WeightModifierType.DISCRETIZE_ADD_NORMAL)


def modifies(modifier: WeightModifierParameter) -> bool:
    """Whether the modifier does anything to the weights."""
    plain = modifier.type in (
        WeightModifierType.NONE,
        WeightModifierType.COPY,
        WeightModifierType.DROP_CONNECT,
    )
    return modifier.pdrop > 0 or not plain


class _Substitute(torch.autograd.Function):
    """Use other values in the forward pass; the gradient goes through (summed over samples)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, modified: Tensor) -> Tensor:
        ctx.per_sample = modified.dim() > weights.dim()
        return modified.view_as(modified)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.sum(dim=0) if ctx.per_sample else gradient, None


def modify_weights(
    weights_OI: Tensor,
    modifier: WeightModifierParameter,
    generator: torch.Generator,
    samples: int | None = None,
    strength: float = 1.0,
) -> Tensor:
    """Return the weights of one forward and backward pass.

    Args:
        weights_OI: clean weights of a tile, normalised.
        modifier: what is done to them.
        generator: the stream of this pass.
        samples: draw for so many samples separately (`per_batch_sample`).
        strength: factor on the deviation from the clean weights; the draws do not depend on it.

    Returns:
        `[O, I]`, or `[S, O, I]` with samples. Gradients pass unchanged.
    """
    clean = weights_OI.detach()
    if samples is not None:
        clean = clean.expand(samples, *clean.shape)
    modified = _modified(clean, weights_OI.detach(), modifier, generator)
    if modifier.pdrop > 0:
        kept = torch.rand(clean.shape, generator=generator, device=clean.device) >= modifier.pdrop
        modified = modified * kept
    if modifier.copy_last_column:
        modified = torch.cat([modified[..., :-1], clean[..., -1:]], dim=-1)
    if strength != 1:
        modified = torch.lerp(clean, modified, strength)
    result: Tensor = _Substitute.apply(weights_OI, modified)  # type: ignore[no-untyped-call]
    return result


def _modified(
    clean: Tensor, tile: Tensor, modifier: WeightModifierParameter, generator: torch.Generator
) -> Tensor:
    kind = modifier.type
    w_max = _largest_weight(tile, modifier)

    def normal() -> Tensor:
        return torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)

    result = clean
    if kind in _DISCRETIZING and modifier.res > 0:
        result = _discretise(clean, grid_step(modifier.res, 1.0) * w_max, modifier, generator)
    if kind in _NORMAL and modifier.std_dev > 0:
        result = result + modifier.std_dev * w_max * normal()
    if kind is WeightModifierType.MULT_NORMAL:
        result = clean * (1 + modifier.std_dev * normal())
    if kind is WeightModifierType.DOREFA:
        scaled = torch.tanh(clean) * _per(modifier.dorefa_clip, torch.tanh(w_max))
        result = _discretise(scaled, scaled.new_tensor(modifier.res), modifier, generator)
    if kind is WeightModifierType.POLY:
        result = clean + _polynomial_deviation(clean, w_max, modifier) * normal()
    if kind is WeightModifierType.PROG_NOISE:
        deviation = _polynomial_deviation(clean, w_max, modifier) / modifier.g_max
        sign = torch.where(clean < 0, -1.0, 1.0)
        result = sign * (clean.abs() + deviation * normal()).abs()
    if kind is WeightModifierType.PCM_NOISE:
        result = _pcm_noise(clean, w_max, modifier, generator)
    return result


def _largest_weight(tile: Tensor, modifier: WeightModifierParameter) -> Tensor:
    """The weight that noise and grids refer to; a column that is left undisturbed does not count."""
    if not modifier.rel_to_actual_wmax:
        return tile.new_tensor(modifier.assumed_wmax)
    disturbed = tile[..., :-1] if modifier.copy_last_column else tile
    return disturbed.abs().max() if disturbed.numel() else tile.new_zeros(())


def _per(numerator: float, denominator: Tensor) -> Tensor:
    """A quotient that is zero where the denominator is: a tile of zeros has no scale."""
    return torch.where(denominator > 0, numerator / denominator, 0.0)


def _discretise(
    values: Tensor, step: Tensor, modifier: WeightModifierParameter, generator: torch.Generator
) -> Tensor:
    """Round to multiples of the step, halves away from zero; a step of zero leaves the values."""
    safe_step = torch.where(step > 0, step, 1.0)
    codes = values / safe_step
    if modifier.sto_round:
        dither = torch.rand(codes.shape, generator=generator, device=codes.device, dtype=codes.dtype)
        codes = torch.floor(codes + dither)
    else:
        codes = torch.sign(codes) * torch.floor(codes.abs() + 0.5)
    return torch.where(step > 0, codes * safe_step, values)


def _polynomial_deviation(clean: Tensor, w_max: Tensor, modifier: WeightModifierParameter) -> Tensor:
    """Standard deviation `std_dev * w_max * sum_k c_k (|w| / w_max)^k`."""
    relative = clean.abs() * _per(1.0, w_max)
    polynomial = torch.zeros_like(relative)
    for coefficient in reversed(modifier.coeffs):
        polynomial = polynomial * relative + coefficient
    return modifier.std_dev * w_max * polynomial


def _pcm_noise(
    clean: Tensor, w_max: Tensor, modifier: WeightModifierParameter, generator: torch.Generator
) -> Tensor:
    """Program, drift and read the weights as phase-change devices, some of them stuck."""
    from simulator.devices import build_noise_model

    config = PCMLikeNoiseModel(
        device_state=DeviceState.PER_DEVICE,
        g_max=modifier.g_max,
        t_0=modifier.pcm_t0,
        prog_noise_scale=modifier.std_dev,
        read_noise_scale=modifier.std_dev,
    )
    model = build_noise_model(config)
    target = torch.where(clean.abs() < modifier.pcm_zero_thres, 0.0, clean).clamp(-w_max, w_max)
    full_scale = w_max.expand(*clean.shape[:-1], 1)  # one more column: |w| = w_max is g_max
    target = torch.cat([target, full_scale], dim=-1).reshape(-1, clean.shape[-1] + 1)
    programmed = model.program(target, programming=generator, drift=generator)
    drifted = model.drift(programmed, modifier.pcm_t_inference, read=generator)
    result = drifted[:, :-1].reshape(clean.shape)
    chance = torch.rand(clean.shape, generator=generator, device=clean.device)
    level = torch.rand(clean.shape, generator=generator, device=clean.device)
    sign = torch.where(clean < 0, -1.0, 1.0)
    for probability, stuck in (
        (modifier.pcm_prob_at_reset, torch.zeros_like(clean)),
        (modifier.pcm_prob_at_gmax, w_max * sign),
        (modifier.pcm_prob_at_random, w_max * sign * level),
    ):
        if probability > 0:
            result = torch.where((chance >= 0) & (chance < probability), stuck, result)
        chance = chance - probability  # each share of devices is stuck in one way only
    return result


# --- after an optimiser step --------------------------------------------------------------------------------


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
        or not fast.takes(logical_OI, scales)
    ):
        return False
    limit = clip.fixed_value if clip.fixed_value > 0 else math.inf
    arrays.update_weights(
        logical_OI,
        scales,
        bound=limit if clips else None,
        largest=remap.remapped_wmax if remaps else None,
    )
    increment_version((logical_OI, scales))
    return True

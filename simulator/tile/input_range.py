"""The static input range of a tile: clip, normalise, and learn the range by a rule of its own.

Source of the rule: Rasch et al., Nat. Commun. 14, 5282 (2023), Methods, "input range learning".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.config.mapping import InputRangeParameter


@dataclass
class OutputClipping:
    """What the forward pass tells the backward pass about the outputs: the share that was clipped."""

    clipped_share: Tensor | None = None


class _ClipToRange(torch.autograd.Function):
    """x -> clip(x, -r, r) / r; the range's gradient follows the learning rule, not the derivative."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, input_range: Tensor, rule: InputRangeParameter, clipping: OutputClipping
    ) -> Tensor:
        ctx.save_for_backward(x, input_range)
        ctx.rule, ctx.clipping = rule, clipping
        return torch.clamp(x, -input_range, input_range).div_(input_range)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, input_range = ctx.saved_tensors
        arriving = gradient / input_range  # the result is multiplied by the range after the tile
        d_range = None
        if ctx.needs_input_grad[1]:
            d_range = _range_gradient(x, arriving, input_range, ctx.rule, ctx.clipping)
        d_x = arriving.mul_(x.abs() <= input_range) if ctx.needs_input_grad[0] else None
        return d_x, d_range, None, None


def _range_gradient(
    x: Tensor, arriving: Tensor, input_range: Tensor, rule: InputRangeParameter, clipping: OutputClipping
) -> Tensor:
    """Widen the range where clipped inputs want to grow; let it decay while few inputs are clipped."""
    too_high = torch.where(x >= input_range, arriving, 0.0).clamp_(max=0).sum()
    too_low = torch.where(x <= -input_range, arriving, 0.0).clamp_(min=0).sum()
    gradient = (too_high - too_low).reshape_as(input_range)
    if rule.gradient_relative:
        gradient = gradient * input_range
    gradient = gradient * rule.gradient_scale
    if rule.manage_output_clipping and clipping.clipped_share is not None:
        share = clipping.clipped_share
        gradient = gradient - share * input_range * (1 - share < rule.output_min_percentage)
    if rule.decay > 0:
        inside = (x.abs() < input_range).to(x.dtype).mean()
        gradient = gradient + rule.decay * input_range * (inside > rule.input_min_percentage)
    return gradient


def clip_to_range(
    x: Tensor, input_range: Tensor, rule: InputRangeParameter, clipping: OutputClipping | None = None
) -> Tensor:
    """Return `clip(x, -r, r) / r`.

    The gradient to `x` is zero where it was clipped. The gradient to the range is the learning rule's, for a
    tile whose result is multiplied by the (detached) range.

    Args:
        x: inputs of the tile, any shape.
        input_range: the range r, `[1]`, positive.
        rule: how the range is learned.
        clipping: filled in by the caller before the backward pass when output clipping is managed.
    """
    result: Tensor = _ClipToRange.apply(x, input_range, rule, clipping or OutputClipping())  # type: ignore[no-untyped-call]
    return result


@torch.no_grad()
def range_from_data(input_range: Tensor, x: Tensor, batches_seen: int, std_alpha: float) -> Tensor:
    """Return the running mean of `std_alpha * std(x)` over the batches; the range as it is for constant x.

    Args:
        input_range: the mean so far, or the initial value before the first batch.
        x: this batch's inputs.
        batches_seen: how many batches the mean holds.
        std_alpha: the range in standard deviations.
    """
    spread = x.std() if x.numel() > 1 else x.new_zeros(())
    mean = (input_range * batches_seen + std_alpha * spread) / (batches_seen + 1)
    return torch.where(spread > 0, mean, input_range)

"""The static input range of a tile: clip, normalise, and learn the range by a rule of its own.

Source of the rule: Rasch et al., Nat. Commun. 14, 5282 (2023), Methods, "input range learning".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks

from simulator.config.mapping import InputRangeParameter
from simulator.tile import fast
from simulator.tile.dac_adc import JUST_ABOVE_ONE, pass_inside, round_
from simulator.tile.fast import arrays
from simulator.tile.layout import LayerProduct

Layout = tuple[torch.Size, tuple[int, ...]]

_JUST_BELOW_ONE = 1 - 1e-6  # an input at its range is clipped, if not by the range, then by the DAC
MOST_LEARNED_FROM = 64  # one of so many inputs, one by one; of more, together


@dataclass
class OutputClipping:
    """What the backward pass needs to know of the forward pass's outputs: the share that was clipped."""

    clipped_share: Tensor | None = None


class _ClipToRange(torch.autograd.Function):
    """x -> round(clip(x, -r, r) / r); the range's gradient follows the learning rule, not the derivative."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any,
        x: Tensor,
        input_range: Tensor,
        rule: InputRangeParameter,
        clipping: OutputClipping,
        step: float,
        dac_clips: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, input_range)
        ctx.rule, ctx.clipping, ctx.dac_clips = rule, clipping, dac_clips
        return _clipped(x, input_range, step)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, input_range = ctx.saved_tensors
        wants_d_x, wants_d_range = ctx.needs_input_grad[:2]
        d_x, d_range = input_gradients(
            x,
            gradient,
            input_range,
            float(input_range),
            ctx.rule,
            ctx.clipping,
            wants_d_x=wants_d_x,
            wants_d_range=wants_d_range,
            dac_clips=ctx.dac_clips,
        )
        return d_x, d_range, None, None, None, None


def input_gradients(  # noqa: PLR0917 - called for every tile
    x: Tensor,
    gradient: Tensor,
    input_range: Tensor,
    limit: float,
    rule: InputRangeParameter,
    clipping: OutputClipping | None = None,
    *,
    wants_d_x: bool,
    wants_d_range: bool,
    dac_clips: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients at the inputs and at the range, from that at the normalised inputs.

    What a tile returns is multiplied by the range in the end: the gradient is divided by it here. The rule
    sees the gradient of every input that is clipped at the range, whatever the DAC does to it afterwards;
    `dac_clips` says that it may clip what the range passes, an input at its very end first of all; `limit` is
    the range as a number, which costs a call to read.
    """
    slack_limit = limit * (_JUST_BELOW_ONE if dac_clips else JUST_ABOVE_ONE)
    d_x = d_range = None
    if wants_d_range and fast.takes(x, gradient):
        d_x, outward, clipped = arrays.range_gradients(x, gradient, limit, slack_limit, wants_d_x=wants_d_x)
    else:
        if wants_d_x:
            d_x = pass_inside(gradient, x, slack_limit).div_(input_range)
        if wants_d_range:
            positions = torch.nonzero((x.abs() >= limit).view(-1)).squeeze(1)  # few, so they are picked out
            outward = _outward(gradient.reshape(-1)[positions], x.reshape(-1)[positions])
            clipped = positions.numel()
    if wants_d_range:
        share = clipped / max(x.numel(), 1)
        d_range = range_gradient(outward, share, input_range, limit, rule, clipping)
    return d_x, d_range


def _clipped(x: Tensor, input_range: Tensor, step: float) -> Tensor:
    if fast.takes(x, input_range):
        return arrays.convert_inputs(x, float(input_range), step, 1.0)
    return round_((x / input_range).clamp_(-1, 1), step)


def _outward(gradient: Tensor, clipped: Tensor) -> float:
    """Return the sum of `min(gradient * sign(x), 0)` over the clipped inputs x, in double precision."""
    return float((gradient * clipped.sign()).clamp_(max=0).sum(dtype=torch.float64))


def range_gradient(  # noqa: PLR0917 - called for every tile
    outward: float,
    clipped: float,
    input_range: Tensor,
    limit: float,
    rule: InputRangeParameter,
    clipping: OutputClipping | None = None,
) -> Tensor:
    """Widen the range where clipped inputs want to grow; let it decay while few inputs are clipped.

    With d the gradient that arrives at x, the rule sums min(d, 0) over x >= r and -max(d, 0) over x <= -r:
    both are min(d sign(x), 0).

    Args:
        outward: that sum.
        clipped: the share of the inputs that are clipped.
        input_range: the range.
        limit: the range as a number.
        rule: how it is learned.
        clipping: of the outputs.
    """
    result = outward / limit
    if rule.gradient_relative:
        result = result * limit
    result = result * rule.gradient_scale
    if rule.manage_output_clipping and clipping is not None and clipping.clipped_share is not None:
        share = float(clipping.clipped_share)
        result = result - share * limit * (1 - share < rule.output_min_percentage)
    inside = 1 - clipped
    if rule.decay > 0 and inside > rule.input_min_percentage:
        result = result + rule.decay * limit
    return input_range.new_full(input_range.shape, result)


def clip_to_range(
    x: Tensor,
    input_range: Tensor,
    rule: InputRangeParameter,
    clipping: OutputClipping | None = None,
    step: float = 0.0,
    *,
    dac_clips: bool = False,
) -> Tensor:
    """Return `clip(x, -r, r) / r`, rounded to the DAC's grid where a step is given.

    The gradient to `x` is zero where it was clipped. The gradient to the range is the learning rule's, for a
    tile whose result is multiplied by the (detached) range.

    Args:
        x: inputs of the tile, any shape.
        input_range: the range r, `[1]`, positive.
        rule: how the range is learned.
        clipping: filled in by the caller before the backward pass when output clipping is managed.
        step: of the grid, 0 without rounding.
        dac_clips: whether the DAC may clip what comes out; see `Dac.gradient_passes_from`.
    """
    if not torch.is_grad_enabled() or not (x.requires_grad or input_range.requires_grad):
        return _clipped(x, input_range, step)
    result: Tensor = _ClipToRange.apply(  # type: ignore[no-untyped-call]
        x, input_range, rule, clipping or OutputClipping(), step, dac_clips
    )
    return result


class _Unchanged:
    """Tensors that a backward pass reads, which autograd does not watch."""

    def __init__(self, *tensors: Tensor) -> None:
        self._tensors = tensors
        self._versions = self._now()

    def _now(self) -> list[int]:
        return [tensor._version for tensor in self._tensors]  # noqa: SLF001 - torch has no public name for it

    def check(self) -> None:
        """Raise RuntimeError, as autograd does, where one was overwritten."""
        if self._now() != self._versions:
            raise RuntimeError(
                "inputs of a tile, or its range, have been modified by an inplace operation between forward "
                "and backward pass; pass a copy of the inputs, or step the optimiser later"
            )


class RangeLearner:
    """Learns the range of a tile whose inputs need no gradient, such as those of a network's first layer.

    What a range learns from is the gradient at the inputs that it clips. They are few, so the gradient at all
    inputs, which the product's backward pass would have to find, is not asked for.

    Args:
        x: inputs of the tile, without gradient.
        input_range: the range, `[1]`.
        rule: how it is learned.
        clipping: of the outputs.
    """

    def __init__(
        self, x: Tensor, input_range: Tensor, rule: InputRangeParameter, clipping: OutputClipping
    ) -> None:
        self.x, self.input_range, self.rule, self.clipping = x, input_range, rule, clipping
        self._limit = float(input_range.detach())
        self.clipped = torch.nonzero(x.abs() >= self._limit, as_tuple=True)
        self._unchanged = _Unchanged(x, input_range)

    @property
    def pays(self) -> bool:
        """Whether the clipped inputs are few enough to be looked at one by one."""
        return self.clipped[0].numel() * MOST_LEARNED_FROM <= self.x.numel()

    def attach(self, y: Tensor, weights: Tensor, product: LayerProduct) -> Tensor:
        """Return the product's result, in whose backward pass the range gets its gradient."""
        result: Tensor = _LearnRange.apply(y, self.input_range, weights.detach(), product, self)  # type: ignore[no-untyped-call]
        return result

    def gradient(self, gradient: Tensor, weights: Tensor, product: LayerProduct) -> Tensor:
        """Return the range's gradient, from that at the product's result."""
        self._unchanged.check()
        arriving = product.gradient_at(gradient, weights, self.clipped)
        outward = _outward(arriving, self.x[self.clipped])
        share = self.clipped[0].numel() / max(self.x.numel(), 1)
        return range_gradient(outward, share, self.input_range, self._limit, self.rule, self.clipping)


class _LearnRange(torch.autograd.Function):
    """The identity; the range that comes along learns from what passes."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any,
        y: Tensor,
        input_range: Tensor,  # noqa: ARG004 - gets a gradient
        weights: Tensor,
        product: LayerProduct,
        learner: RangeLearner,
    ) -> Tensor:
        ctx.mark_dirty(y)
        ctx.save_for_backward(weights)
        ctx.product, ctx.learner = product, learner
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weights,) = ctx.saved_tensors
        return gradient, ctx.learner.gradient(gradient, weights, ctx.product), None, None, None


def converted_again(converted: Tensor, x: Tensor, input_range: Tensor, step: float) -> saved_tensors_hooks:
    """Let the backward passes of what runs in this context convert their inputs anew: the memory is saved.

    Args:
        converted: what `clip_to_range` returned.
        x: what it was given, as were the range and the step.
        input_range: the range.
        step: of the grid.
    """
    place, size = converted.data_ptr(), converted.numel()
    x, input_range = x.detach(), input_range.detach()
    unchanged = _Unchanged(x, input_range)

    def pack(saved: Tensor) -> Tensor | Layout:
        is_converted = saved.data_ptr() == place and saved.numel() == size
        return (saved.shape, saved.stride()) if is_converted else saved

    def unpack(packed: Tensor | Layout) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        unchanged.check()
        return _clipped(x, input_range, step).as_strided(*packed)

    return saved_tensors_hooks(pack, unpack)


@torch.no_grad()
def range_from_data(input_range: Tensor, x: Tensor, batches_seen: int, std_alpha: float) -> Tensor:
    """Return the running mean of `std_alpha * std(x)` over the batches; the range as it is for constant x.

    Args:
        input_range: the mean so far, or the initial value before the first batch.
        x: this batch's inputs.
        batches_seen: how many batches the mean holds.
        std_alpha: the range in standard deviations.
    """
    count = x.numel()
    spread = torch.linalg.vector_norm(x - x.mean()) / (count - 1) ** 0.5 if count > 1 else x.new_zeros(())
    mean = (input_range * batches_seen + std_alpha * spread) / (batches_seen + 1)
    return torch.where(spread > 0, mean, input_range)

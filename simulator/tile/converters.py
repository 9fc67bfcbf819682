"""DAC and ADC: rounding to a grid and clipping to a bound, with straight-through gradients.

Rounding is half to even, in float32, as in `rint`. The gradient passes where the rounded value was not
clipped. Activations are large and fresh memory is expensive, so these are few passes of vectorised kernels in
few buffers: a boolean mask would be slower than the floats that it is made from.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TOP_CODE_SLACK = 1 + 1e-5  # in float32 the top code may exceed the bound by an ulp: that is not clipping


def pass_inside(gradient: Tensor, values: Tensor, limit: float) -> Tensor:
    """Return the gradient where -limit < value < limit, zero elsewhere."""
    result: Tensor = torch.ops.aten.hardtanh_backward(gradient, values, -limit, limit)
    return result


def round_(
    values: Tensor, step: float, dither: Tensor | None = None, *, into: Tensor | None = None
) -> Tensor:
    """Round to multiples of the step, in place or into another buffer; a step of 0 leaves the values."""
    if step <= 0:
        return values
    codes = torch.div(values, step, out=values if into is None else into)
    if dither is not None:
        codes.add_(dither)
    return codes.round_().mul_(step)


class _Digitise(torch.autograd.Function):
    """Add noise, round to a grid, clip, scale."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any,
        values: Tensor,
        step: float,
        bound: float,
        noise: Tensor | None,
        dither: Tensor | None,
        scale: Tensor | float,
    ) -> Tensor:
        ctx.bound, ctx.scale = bound, scale
        rounded = _rounded(values, step, noise, dither)
        if bound == math.inf:
            return rounded if _is_one(scale) else rounded.mul_(scale)
        ctx.save_for_backward(rounded)
        result = rounded.clamp(-bound, bound)
        return result if _is_one(scale) else result.mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.bound < math.inf:
            (rounded,) = ctx.saved_tensors
            gradient = pass_inside(gradient, rounded, ctx.bound * TOP_CODE_SLACK)
            gradient = gradient if _is_one(ctx.scale) else gradient.mul_(ctx.scale)
        elif not _is_one(ctx.scale):
            gradient = gradient * ctx.scale
        return gradient, None, None, None, None, None


def _rounded(values: Tensor, step: float, noise: Tensor | None, dither: Tensor | None) -> Tensor:
    """Return `round(values + noise)` in a buffer of its own, or in the noise's."""
    if noise is not None:
        return round_(noise.add_(values), step, dither)
    return round_(values, step, dither, into=torch.empty_like(values)) if step > 0 else values.clone()


class _Normalise(torch.autograd.Function):
    """Divide by a scale, round to a grid, clip."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any, values: Tensor, scale: Tensor | float, step: float, bound: float, dither: Tensor | None
    ) -> Tensor:
        rounded = round_(values / scale, step, dither)
        ctx.scale, ctx.bound = scale, bound
        if bound == math.inf:
            return rounded
        ctx.save_for_backward(rounded)
        return rounded.clamp(-bound, bound)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.bound < math.inf:
            (rounded,) = ctx.saved_tensors
            gradient = pass_inside(gradient, rounded, ctx.bound * TOP_CODE_SLACK).div_(ctx.scale)
        else:
            gradient = gradient / ctx.scale
        return gradient, None, None, None, None


def normalise(
    values: Tensor, scale: Tensor | float, step: float, bound: float, *, dither: Tensor | None = None
) -> Tensor:
    """Return `clip(round(values / scale), -bound, bound)`; the scale gets no gradient. See `digitise`."""
    if _is_one(scale):
        return digitise(values, step, bound, dither=dither)
    if values.requires_grad and torch.is_grad_enabled():
        result: Tensor = _Normalise.apply(values, scale, step, bound, dither)  # type: ignore[no-untyped-call]
        return result
    rounded = round_(values / scale, step, dither)
    return rounded if bound == math.inf else rounded.clamp_(-bound, bound)


def _is_one(scale: Tensor | float) -> bool:
    return isinstance(scale, float) and scale == 1


def digitise(
    values: Tensor,
    step: float,
    bound: float,
    *,
    noise: Tensor | None = None,
    dither: Tensor | None = None,
    scale: Tensor | float = 1.0,
) -> Tensor:
    """Return `scale * clip(round(values + noise), -bound, bound)`.

    Args:
        values: any shape.
        step: the grid's step, 0 without rounding.
        bound: where values are clipped, infinite without clipping.
        noise: of the values' shape, added first; it is overwritten.
        dither: added in units of steps before rounding: U(-0.5, 0.5) makes it stochastic rounding.
        scale: multiplies the result; it gets no gradient.
    """
    if step <= 0 and bound == math.inf and noise is None and _is_one(scale):
        return values
    if values.requires_grad and torch.is_grad_enabled():
        result: Tensor = _Digitise.apply(values, step, bound, noise, dither, scale)  # type: ignore[no-untyped-call]
        return result
    rounded = _rounded(values, step, noise, dither)
    clipped = rounded if bound == math.inf else rounded.clamp_(-bound, bound)
    return clipped if _is_one(scale) else clipped.mul_(scale)

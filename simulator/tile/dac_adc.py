"""DAC and ADC: rounding to a grid and clipping to a bound, with straight-through gradients.

Rounding is half to even, in float32, as in `rint`. The gradient passes where nothing was clipped: where a
value is within the bound, or is rounded to a code within it. The code that a value within the bound is
rounded to may itself lie above the bound (an odd number of steps): that is rounding, and the gradient passes.
Activations are large and fresh memory is expensive, so these are few passes of vectorised kernels in few
buffers: a boolean mask would be slower than the floats that it is made from.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TOP_CODE_SLACK = 1 + 1e-5  # in float32 the top code may exceed the bound by an ulp: that is not clipping
JUST_ABOVE_ONE = 1 + 1e-6  # a value at its bound is not clipped


def top_code(step: float, bound: float) -> float:
    """Return what the bound itself is rounded to, in float32; the bound where nothing is rounded."""
    if step <= 0 or bound == math.inf:
        return bound
    return float(np.rint(np.float32(bound) / np.float32(step)) * np.float32(step))


@lru_cache(maxsize=256)
def clipping_limit(step: float, bound: float) -> float:
    """Return the magnitude from where on a value counts as clipped, before it is rounded.

    That is the bound, or half a step above the largest code within it, whichever is larger.
    """
    if step <= 0 or bound == math.inf:
        return bound * JUST_ABOVE_ONE
    largest_code = math.floor(bound / step * TOP_CODE_SLACK)
    return max(bound, (largest_code + 0.5) * step) * JUST_ABOVE_ONE


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
    """Add noise, round to a grid, clip, scale.

    `fast/conversion.py` has the compiled twin. It shares no step with this one: it overwrites what it is
    given and marks what it clips, where this one keeps what it is given and looks at it again.
    """

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
        ctx.limit, ctx.scale = clipping_limit(step, bound), scale
        if bound == math.inf:
            rounded = _rounded(values, step, noise, dither)
            return rounded if _is_one(scale) else rounded.mul_(scale)
        given = values if noise is None else noise.add_(values)
        ctx.save_for_backward(given)
        result = _converted(given, 1.0, step, bound, dither)
        return result if _is_one(scale) else result.mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.limit < math.inf:
            (given,) = ctx.saved_tensors
            gradient = pass_inside(gradient, given, ctx.limit)
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
        ctx: Any,
        values: Tensor,
        scale: Tensor | float,
        step: float,
        bound: float,
        dither: Tensor | None,
        passed_from: float,
    ) -> Tensor:
        ctx.scale, ctx.limit, ctx.passed_from = scale, clipping_limit(step, bound), passed_from
        if bound < math.inf:
            ctx.save_for_backward(values)
        return _converted(values, scale, step, bound, dither)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scale = ctx.scale
        if ctx.limit < math.inf:
            (values,) = ctx.saved_tensors
            quotient = values if _is_one(scale) else values / scale
            inside = pass_inside(gradient, quotient, ctx.limit)
            if ctx.passed_from < math.inf:
                inside = torch.where(values.abs() >= ctx.passed_from, gradient, inside)
            gradient = inside
        return gradient if _is_one(scale) else gradient / scale, None, None, None, None, None


def normalise(  # noqa: PLR0917 - called for every tile
    values: Tensor,
    scale: Tensor | float,
    step: float,
    bound: float,
    dither: Tensor | None = None,
    passed_from: float = math.inf,
) -> Tensor:
    """Return `clip(round(values / scale), -bound, bound)`; the scale gets no gradient.

    Args:
        values: any shape.
        scale: what they are divided by; a tensor broadcasts over them.
        step: the grid's step, 0 without rounding.
        bound: where values are clipped, infinite without clipping.
        dither: added in units of steps before rounding.
        passed_from: the gradient passes at values from this magnitude on, clipped or not: an input range that
            clips there withholds it from the inputs itself, and learns from it.
    """
    if _is_one(scale) and step <= 0 and bound == math.inf:
        return values
    if values.requires_grad and torch.is_grad_enabled():
        result: Tensor = _Normalise.apply(values, scale, step, bound, dither, passed_from)  # type: ignore[no-untyped-call]
        return result
    return _converted(values, scale, step, bound, dither)


def _converted(
    values: Tensor, scale: Tensor | float, step: float, bound: float, dither: Tensor | None
) -> Tensor:
    if not _is_one(scale):
        rounded = round_(values / scale, step, dither)
        return rounded if bound == math.inf else rounded.clamp_(-bound, bound)
    if step <= 0:
        return values.clamp(-bound, bound)
    rounded = round_(values, step, dither, into=torch.empty_like(values))
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

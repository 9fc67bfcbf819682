"""DAC and ADC: rounding to a grid and clipping to a bound, with straight-through gradients.

Rounding is half to even, in float32, as in `rint`. The gradient passes where the value was not clipped.
Both work in place on buffers that the forward pass owns, because activations are large and memory-bound.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_TOP_CODE_SLACK = 1 + 1e-5  # in float32 the top code may exceed the bound by an ulp: that is not clipping


class _Digitise(torch.autograd.Function):
    """Round to a grid, then clip; the gradient is one where the rounded value was not clipped."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any, values: Tensor, step: float, bound: float, dither: Tensor | None, in_place: bool
    ) -> Tensor:
        if in_place:
            ctx.mark_dirty(values)
            result = values
        else:
            result = values.clone()
        if step > 0:
            result.div_(step)
            if dither is not None:
                result.add_(dither)
            result.round_().mul_(step)
        if bound < math.inf:
            if ctx.needs_input_grad[0]:
                ctx.save_for_backward(result.abs() <= bound * _TOP_CODE_SLACK)
            result.clamp_(-bound, bound)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        if ctx.saved_tensors:
            gradient = gradient * ctx.saved_tensors[0]
        return gradient, None, None, None, None


def digitise(
    values: Tensor, step: float, bound: float, dither: Tensor | None = None, *, in_place: bool = False
) -> Tensor:
    """Round to the grid and clip to the bound.

    Args:
        values: any shape; overwritten with `in_place`, which only the owner of the buffer may ask for.
        step: the grid's step, 0 without rounding.
        bound: where values are clipped, infinite without clipping.
        dither: added in units of steps before rounding: U(-0.5, 0.5) makes it stochastic rounding.
        in_place: whether `values` may be overwritten; needs a non-leaf.
    """
    if step <= 0 and bound == math.inf:
        return values
    result: Tensor = _Digitise.apply(values, step, bound, dither, in_place)  # type: ignore[no-untyped-call]
    return result

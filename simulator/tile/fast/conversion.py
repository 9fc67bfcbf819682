"""The end of a forward pass in one loop: noise, rounding, clipping and scaling of the outputs, in place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.rng import Randomness
from simulator.tile import fast
from simulator.tile.fast import arrays
from simulator.tile.fast.arrays import ONE, Converted, KernelFactor, VectorFlags
from simulator.tile.noise import PooledNoise


@dataclass(slots=True)
class OutputConversion:
    """What is done to outputs: noise, grid, bound, scale.

    Attributes:
        vector_dim: along which of the outputs' dimensions a vector lies, the last one or 1.
        step: of the grid, 0 without rounding.
        bound: where values are clipped.
        deviation: of the noise: a number, a tensor that broadcasts over the outputs, or pooled noise; None
            without noise.
        generator: the call's stream.
        scale: factor of the result.
        finds_saturated: whether the vectors that exceed the bound are asked for.
        tests_negative: whether a negative value can exceed it.
        saturated: filled in: which vectors do, of the outputs' shape without the vector's dimension; None
            where none does.
    """

    vector_dim: int
    step: float
    bound: float
    deviation: Tensor | float | PooledNoise | None
    generator: Randomness | None
    scale: Tensor | float
    finds_saturated: bool
    tests_negative: bool
    saturated: Tensor | None = None


def convert_outputs(y: Tensor, conversion: OutputConversion) -> Tensor:
    """Return `scale * clip(round(y + noise))`; y is overwritten. See `digitise` and `OutputConversion`."""
    scale = conversion.scale if isinstance(conversion.scale, Tensor) else None
    if torch.is_grad_enabled() and (y.requires_grad or (scale is not None and scale.requires_grad)):
        result: Tensor = _Adc.apply(y, scale, conversion)  # type: ignore[no-untyped-call]
        return result
    return _convert(y, conversion).result


class _Adc(torch.autograd.Function):
    """The gradient passes, scaled, where nothing was clipped; see `digitise`.

    Where the scale learns, what it multiplied is kept, and the result is apart from it.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, scale: Tensor | None, conversion: OutputConversion) -> Tensor:
        learns = ctx.needs_input_grad[1]
        result, ctx.inside, _ = _convert(y, conversion, apart=learns, marks_inside=True)
        ctx.scale, ctx.vector_dim = conversion.scale, conversion.vector_dim
        if learns:
            ctx.save_for_backward(y, scale)
        else:
            ctx.mark_dirty(y)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        y, scale = ctx.saved_tensors if ctx.needs_input_grad[1] else (None, ctx.scale)
        return (*_output_gradients(gradient, ctx.vector_dim, ctx.inside, scale, y), None)


def _output_gradients(
    gradient: Tensor,
    vector_dim: int,
    inside: Tensor | None,
    scale: Tensor | float,
    values: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients at the outputs, and at the scale of these values."""
    if not fast.takes(gradient):
        d_y = gradient * scale if inside is None else (gradient * inside).mul_(scale)
        if values is None or not isinstance(scale, Tensor):
            return d_y, None
        return d_y, (gradient * values).sum_to_size(scale.shape)
    gradient = gradient.contiguous()
    rows = _rows(gradient.shape, vector_dim, not _tells_vectors_apart(scale))
    wants = values is not None and isinstance(scale, Tensor)
    d_y, d_scale, _ = arrays.output_gradients(
        gradient,
        rows.length,
        rows.outputs,
        rows.factor(scale),
        inside,
        values if wants else None,
        in_columns=rows.vectors_in_rows,
        wants_bias=False,
    )
    if d_scale is None or not isinstance(scale, Tensor):
        return d_y, None
    return d_y, (d_scale.sum() if scale.numel() == 1 else d_scale).reshape(scale.shape)


def _convert(
    y: Tensor, conversion: OutputConversion, *, apart: bool = False, marks_inside: bool = False
) -> Converted:
    """Convert in place, or scale into memory of its own; note which vectors exceed the bound."""
    deviation, factor, pooled, noise_std = conversion.deviation, ONE, (0.0, 0.0), None
    if deviation is not None:
        if isinstance(deviation, PooledNoise):
            if deviation.is_per_output_of(y):
                pooled = (deviation.factor, float(deviation.offset))
                deviation = deviation.noise_input
            else:
                deviation = deviation.deviation()
        noise_std = 1.0 if isinstance(deviation, Tensor) else deviation
    together = not any(map(_tells_vectors_apart, (deviation, conversion.scale)))
    rows = _rows(y.shape, conversion.vector_dim, together)
    if isinstance(deviation, Tensor):
        factor = rows.factor(deviation)
    flags = None
    if conversion.finds_saturated:
        conversion.saturated = torch.zeros(rows.shape_without_vectors, dtype=torch.bool)
        flags = rows.of_vectors(conversion.saturated)
    converted = arrays.convert_outputs(
        y,
        rows.length,
        noise_std,
        conversion.generator,
        conversion.step,
        conversion.bound,
        rows.factor(conversion.scale),
        deviation=factor,
        pooled=pooled,
        saturated=flags,
        tests_negative=conversion.tests_negative,
        apart=apart,
        marks_inside=marks_inside and conversion.bound < math.inf,
    )
    if converted.clipped == 0:
        conversion.saturated = None
    return converted


def _tells_vectors_apart(factor: object) -> bool:
    """Whether it is a factor with one value for each vector."""
    return isinstance(factor, Tensor) and factor.numel() > 1 and factor.shape[-1] == 1


class _Rows:
    """Outputs as rows of numbers that follow each other; the last row may be shorter.

    Args:
        shape: of the outputs.
        vector_dim: along which of their dimensions a vector lies, the last one or 1.
        joined: whether several vectors may make one row.
    """

    def __init__(self, shape: torch.Size, vector_dim: int, joined: bool) -> None:
        self.shape = shape
        self.vectors_in_rows = vector_dim == -1
        self.outputs = shape[-1] if self.vectors_in_rows else shape[1]
        vectors = max(1, arrays.LONG_ROW // max(self.outputs, 1)) if joined else 1  # in a row
        self.length = self.outputs * vectors if self.vectors_in_rows else math.prod(shape[2:])
        self.count = -(-shape.numel() // max(self.length, 1))

    @property
    def shape_without_vectors(self) -> tuple[int, ...]:
        if self.vectors_in_rows:
            return tuple(self.shape[:-1])
        return (self.shape[0], *self.shape[2:])

    def of_vectors(self, values: Tensor) -> VectorFlags:
        """Return flags, one for each vector, as the loops set them."""
        if self.vectors_in_rows:
            return VectorFlags(values, 1, 0, self.outputs)
        return VectorFlags(values, self.shape[0], self.length, self.outputs)

    def factor(self, values: Tensor | float) -> KernelFactor:
        """Return a factor of the outputs as the loops take it."""
        if not isinstance(values, Tensor):
            return ONE if values == 1 else KernelFactor(torch.tensor(values, dtype=torch.float32))
        if values.numel() == 1:
            return KernelFactor(values)
        own = (1,) * (len(self.shape) - values.dim()) + tuple(values.shape)
        if self.vectors_in_rows:
            lead = own[:-1]
            if all(size == 1 for size in lead):
                return KernelFactor(values.contiguous(), 1, self.length, 1, self.outputs)
            if lead == tuple(self.shape[:-1]) and own[-1] == 1:
                return KernelFactor(values.contiguous(), math.prod(lead))
        else:
            batch, outputs, positions = own[0], own[1], own[2:]
            if all(size == 1 for size in positions) or positions == tuple(self.shape[2:]):
                columns = math.prod(positions)
                if outputs == self.outputs and (batch in (1, self.shape[0])):
                    return KernelFactor(values.contiguous(), batch * outputs, columns)
                if outputs == 1:
                    return KernelFactor(values.contiguous(), batch, columns, self.outputs)
        return KernelFactor(values.expand(self.shape).contiguous(), self.count, self.length)


_rows = lru_cache(maxsize=256)(_Rows)

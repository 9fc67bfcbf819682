"""The steps of a forward and backward pass that compiled kernels do in one go, where they are at hand.

Kernels need numba (the extra `fast`), the CPU and float32. Everything here has its plain form in torch, which
runs otherwise and gives the same numbers; sums, of squares or of gradients, agree to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.rng import Randomness
from simulator.tile import draws
from simulator.tile.converters import TOP_CODE_SLACK

_LONG_ROW = 1 << 10  # what starting a row costs is little against it
TASK = 1 << 14  # values that a thread takes at once, where no draws say how many
_enabled = True


@lru_cache(maxsize=1)
def kernels() -> Any:
    """Return the module of compiled loops, None where it cannot be had."""
    try:
        return import_module("simulator.tile.kernels")
    except ImportError:  # no numba, or one that does not go with what is installed
        return None


@contextmanager
def plain_torch() -> Iterator[None]:
    """Do without kernels for a while."""
    global _enabled  # noqa: PLW0603 - one switch for the process
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def at_hand(*values: Tensor) -> bool:
    """Whether kernels are installed and made for such values: float32 on the CPU."""
    if not _enabled or kernels() is None:
        return False
    for value in values:  # noqa: SIM110 - asked for every tile: a generator would double the time
        if value.dtype is not torch.float32 or not value.is_cpu:
            return False
    return True


# --- the converters of the inputs ---------------------------------------------------------------------------


def convert_inputs(x: Tensor, scale: float, step: float, limit: float) -> Tensor:
    """Return `round(clip(x / scale, limit))` in contiguous memory; see `round_`."""
    rows, length, stride = _runs(x)
    if rows == 0:
        x = x.contiguous()
        rows, length, stride = 1, x.numel(), 0
    result = x.new_empty(x.shape)
    kernels().convert_inputs(
        -(-rows // max(1, TASK // max(length, 1))) * -(-length // TASK),
        x.data_ptr(),
        stride,
        rows,
        length,
        TASK,
        result.data_ptr(),
        scale,
        limit,
        step,
    )
    return result


def _runs(x: Tensor) -> tuple[int, int, int]:
    """Return number, length and distance of the runs of values that follow each other; 0 if uneven.

    A part of the channels is a run in each sample, or in each place where channels lie last.
    """
    if x.is_contiguous():
        return 1, x.numel(), 0
    sizes, strides = x.shape, x.stride()
    length, dim = 1, x.dim()
    while dim > 0 and (sizes[dim - 1] == 1 or strides[dim - 1] == length):
        dim -= 1
        length *= sizes[dim]
    if dim == 0:
        return 1, length, 0
    evenly = all(strides[i] == strides[i + 1] * sizes[i + 1] for i in range(dim - 1))
    return (x.numel() // length, length, strides[dim - 1]) if evenly else (0, 0, 0)


# --- the converters of the outputs --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadNoise:
    """Noise whose deviation is `sqrt(power * factor + offset)`; the power broadcasts over the outputs."""

    power: Tensor
    factor: float
    offset: Tensor | float

    def deviation(self) -> Tensor:
        """Return the deviation as a tensor; the root is the nearest number, which torch's not always is."""
        variance = self.power * self.factor
        if isinstance(self.offset, Tensor) or self.offset > 0:
            variance = variance + self.offset
        if variance.is_cpu and variance.dtype is torch.float32:
            np.sqrt(variance.numpy(), out=variance.numpy())
            return variance
        return variance.sqrt_()

    def is_per_output_of(self, y: Tensor) -> bool:
        """Whether there is a power for each output, so that a tensor of deviations would be large."""
        return self.power.shape == y.shape and not isinstance(self.offset, Tensor)


@dataclass(slots=True)
class OutputConversion:
    """What is done to outputs: noise, grid, bound, scale. `hit` is filled in: which vectors hit the bound.

    Attributes:
        vector_dim: along which of the outputs' dimensions a vector lies, the last one or 1.
        step: of the grid, 0 without rounding.
        bound: where values are clipped.
        deviation: of the noise: a number, a tensor that broadcasts over the outputs, or what read noise grows
            with; None without noise.
        generator: the call's stream.
        scale: factor of the result.
        finds_hits: whether it is asked for.
        tests_negative: whether a negative value can hit the bound too.
        hit: of the outputs' shape without the vector's dimension.
    """

    vector_dim: int
    step: float
    bound: float
    deviation: Tensor | float | ReadNoise | None
    generator: Randomness | None
    scale: Tensor | float
    finds_hits: bool
    tests_negative: bool
    hit: Tensor | None = None


def converts_outputs(y: Tensor) -> bool:
    """Whether a kernel converts such outputs."""
    return y.is_contiguous() and at_hand(y)


def convert_outputs(y: Tensor, conversion: OutputConversion) -> Tensor:
    """Return `scale * clip(round(y + noise))`; y is overwritten. See `digitise` and `OutputConversion`."""
    scale = conversion.scale if isinstance(conversion.scale, Tensor) else None
    if not torch.is_grad_enabled():
        _convert_in_place(y, conversion)
        return y
    result: Tensor
    if scale is not None and scale.requires_grad:
        result = _ConvertAndScale.apply(y, scale, conversion)  # type: ignore[no-untyped-call]
    elif y.requires_grad:
        result = _ConvertOutputs.apply(y, conversion)  # type: ignore[no-untyped-call]
    else:
        _convert_in_place(y, conversion)
        result = y
    return result


class _ConvertOutputs(torch.autograd.Function):
    """The gradient passes, scaled, where the rounded value was not clipped; see `digitise`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, conversion: OutputConversion) -> Tensor:
        ctx.mark_dirty(y)
        ctx.inside = convert_and_mark(y, conversion)
        ctx.scale, ctx.vector_dim = conversion.scale, conversion.vector_dim
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return output_gradients(gradient, ctx.vector_dim, ctx.inside, ctx.scale)[0], None


class _ConvertAndScale(torch.autograd.Function):
    """The same, with a scale that learns: what it multiplied is kept, in place of the outputs."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, scale: Tensor, conversion: OutputConversion) -> Tensor:
        result = y.new_empty(y.shape)
        ctx.inside = convert_and_mark(y, conversion, result)
        ctx.vector_dim = conversion.vector_dim
        ctx.save_for_backward(y, scale)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        y, scale = ctx.saved_tensors
        return (*output_gradients(gradient, ctx.vector_dim, ctx.inside, scale, y), None)


def convert_and_mark(y: Tensor, conversion: OutputConversion, result: Tensor | None = None) -> Tensor | None:
    """Convert, and return 1 where a value was not clipped, 0 elsewhere; None if none was."""
    if conversion.bound == math.inf:
        _convert_in_place(y, conversion, result)
        return None
    inside = torch.empty(y.shape, dtype=torch.uint8)
    return inside if _convert_in_place(y, conversion, result, inside) else None


def output_gradients(
    gradient: Tensor,
    vector_dim: int,
    inside: Tensor | None,
    scale: Tensor | float,
    values: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients at the outputs, and at the scale of these values."""
    if not at_hand(gradient):
        d_y = gradient * scale if inside is None else (gradient * inside).mul_(scale)
        if values is None or not isinstance(scale, Tensor):
            return d_y, None
        return d_y, (gradient * values).sum_to_size(scale.shape)
    gradient = gradient.contiguous()
    rows = _rows(gradient.shape, vector_dim, not _tells_vectors_apart(scale))
    d_y, factor = gradient.new_empty(gradient.shape), rows.factor(scale)
    block = max(1, TASK // rows.length)
    tasks = -(-rows.count // block)
    sums = None
    if values is not None:
        sums = gradient.new_empty(tasks * rows.length if rows.vectors_in_rows else rows.count)
    kernels().output_gradients(
        tasks,
        gradient.data_ptr(),
        d_y.data_ptr(),
        gradient.numel(),
        rows.length,
        block,
        0 if inside is None else inside.data_ptr(),
        *factor.place,
        0 if values is None else values.data_ptr(),
        0 if sums is None else sums.data_ptr(),
        sums is not None and rows.vectors_in_rows,
    )
    if sums is None or not isinstance(scale, Tensor):
        return d_y, None
    d_scale = sums.sum() if scale.numel() == 1 else sums.view(-1, rows.outputs).sum(dim=0)
    return d_y, d_scale.reshape(scale.shape)


def _convert_in_place(
    y: Tensor, conversion: OutputConversion, result: Tensor | None = None, inside: Tensor | None = None
) -> int:
    """Convert in place, or scale into the result; say what was not clipped, and return how much was."""
    seeds = table = None
    deviation, factor, power_factor, power_offset = conversion.deviation, _ONE, 0.0, 0.0
    if deviation is not None:
        seeds = draws.block_seeds(y, conversion.generator)
        if isinstance(deviation, ReadNoise):
            if deviation.is_per_output_of(y):
                power_factor, power_offset = deviation.factor, float(deviation.offset)
                deviation = deviation.power
            else:
                deviation = deviation.deviation()
        table = draws.normal_table(1.0 if isinstance(deviation, Tensor) else deviation)
    together = not conversion.finds_hits and not any(map(_tells_vectors_apart, (deviation, conversion.scale)))
    rows = _rows(y.shape, conversion.vector_dim, together)
    if isinstance(deviation, Tensor):
        factor = rows.factor(deviation)
    scale = rows.factor(conversion.scale)
    hits = _NO_FACTOR
    if conversion.finds_hits:
        conversion.hit = torch.zeros(rows.shape_without_vectors, dtype=torch.bool)
        hits = rows.of_vectors(conversion.hit)
    clipped: int = kernels().convert_outputs(
        -(-y.numel() // draws.BLOCK),
        y.data_ptr(),
        0 if result is None else result.data_ptr(),
        y.numel(),
        rows.length,
        draws.BLOCK,
        0 if seeds is None else seeds.__array_interface__["data"][0],
        0 if table is None else table.data_ptr(),
        *factor.place,
        power_factor,
        power_offset,
        conversion.step,
        conversion.bound,
        conversion.bound * TOP_CODE_SLACK,
        *scale.place,
        *hits.place[:4],
        conversion.tests_negative,
        0 if inside is None else inside.data_ptr(),
    )
    return clipped


class _Factor(NamedTuple):
    """A factor of the outputs as the kernels take it."""

    values: Tensor
    rows: int
    columns: int
    div: int
    period: int = 0

    @property
    def place(self) -> tuple[int, int, int, int, int]:
        return (self.values.data_ptr(), self.rows, self.columns, self.div, self.period)


_NO_FACTOR, _ONE = _Factor(torch.empty(0), 1, 1, 1), _Factor(torch.ones(1), 1, 1, 1)


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
        vectors = max(1, _LONG_ROW // max(self.outputs, 1)) if joined else 1  # in a row
        self.length = self.outputs * vectors if self.vectors_in_rows else math.prod(shape[2:])
        self.count = -(-shape.numel() // max(self.length, 1))

    @property
    def shape_without_vectors(self) -> tuple[int, ...]:
        if self.vectors_in_rows:
            return tuple(self.shape[:-1])
        return (self.shape[0], *self.shape[2:])

    def of_vectors(self, values: Tensor) -> _Factor:
        """Return one value per vector as a factor."""
        if self.vectors_in_rows:
            return _Factor(values, values.numel(), 1, 1)
        return _Factor(values, self.shape[0], self.length, self.outputs)

    def factor(self, values: Tensor | float) -> _Factor:
        """Return a factor of the outputs as the kernels take it."""
        if not isinstance(values, Tensor):
            return _ONE if values == 1 else _Factor(torch.tensor(values, dtype=torch.float32), 1, 1, 1)
        if values.numel() == 1:
            return _Factor(values, 1, 1, 1)
        own = (1,) * (len(self.shape) - values.dim()) + tuple(values.shape)
        if self.vectors_in_rows:
            lead = own[:-1]
            if all(size == 1 for size in lead):
                return _Factor(values.contiguous(), 1, self.length, 1, self.outputs)
            if lead == tuple(self.shape[:-1]) and own[-1] == 1:
                return _Factor(values.contiguous(), math.prod(lead), 1, 1)
        else:
            batch, outputs, places = own[0], own[1], own[2:]
            if all(size == 1 for size in places) or places == tuple(self.shape[2:]):
                columns = math.prod(places)
                if outputs == self.outputs and (batch in (1, self.shape[0])):
                    return _Factor(values.contiguous(), batch * outputs, columns, 1)
                if outputs == 1:
                    return _Factor(values.contiguous(), batch, columns, self.outputs)
        return _Factor(values.expand(self.shape).contiguous(), self.count, self.length, 1)


_rows = lru_cache(maxsize=256)(_Rows)


# --- input ranges -------------------------------------------------------------------------------------------


def range_gradients(
    x: Tensor, gradient: Tensor, limit: float, slack_limit: float, *, wants_d_x: bool
) -> tuple[Tensor | None, float, int]:
    """Pass the gradient at normalised inputs on to the inputs, and add up what the clipped ones want.

    Returns:
        `gradient / limit` where `|x| < slack_limit`, zero elsewhere; the sum of `min(gradient * sign(x), 0)`
        over the inputs with `|x| >= limit`, in double precision; and their number.
    """
    x, gradient = x.contiguous(), gradient.contiguous()
    d_x = x.new_empty(x.shape) if wants_d_x else None
    tasks = -(-x.numel() // TASK)
    outward = torch.empty(tasks, dtype=torch.float64)
    clipped: int = kernels().range_gradients(
        tasks,
        x.data_ptr(),
        gradient.data_ptr(),
        x.numel(),
        TASK,
        0 if d_x is None else d_x.data_ptr(),
        limit,
        slack_limit,
        outward.data_ptr(),
    )
    return d_x, float(outward.sum()), clipped

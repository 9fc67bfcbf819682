"""The steps of a forward and backward pass that compiled kernels do in one go, where they are at hand.

Kernels need numba, the CPU and float32. Everything here has its plain form in torch, which
runs otherwise and gives the same numbers; sums, of squares or of gradients, agree to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.rng import Randomness
from simulator.tile import draws
from simulator.tile.converters import clipping_limit

LONG_ROW = 1 << 10  # what starting a row costs is little against it
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


def convert_inputs(
    x: Tensor,
    scale: float,
    step: float,
    limit: float,
    order: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Return `round(clip(x / scale, limit))`, without gaps in memory; see `round_`."""
    result = torch.empty(x.shape, dtype=torch.float32, memory_format=order)
    x, (rows, length, stride) = _runs(x, result)
    kernels().convert_inputs(
        _tasks(rows, length), x.data_ptr(), stride, rows, length, TASK, result.data_ptr(), scale, limit, step
    )
    return result


def _tasks(rows: int, length: int) -> int:
    """Return how many tasks of `TASK` values runs make."""
    return 0 if length == 0 else -(-rows // max(1, TASK // length)) * -(-length // TASK)


def _runs(x: Tensor, like: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Return x and number, length and distance of its runs of values, in the order that `like` has in memory.

    A part of the channels is a run in each sample, or in each place where channels lie last. Where runs are
    uneven, x is copied.

    Args:
        x: any values.
        like: of the same shape, without gaps.
    """
    order = like.stride()
    strides = x.stride()
    if strides == order:
        return x, (1, x.numel(), 0)
    runs = _even_runs(x.shape, strides, order)
    if runs is None:
        return torch.empty_like(like).copy_(x), (1, x.numel(), 0)
    return x, runs


@lru_cache(maxsize=256)
def _even_runs(
    sizes: tuple[int, ...], strides: tuple[int, ...], order: tuple[int, ...]
) -> tuple[int, int, int] | None:
    dims = sorted((dim for dim, size in enumerate(sizes) if size > 1), key=order.__getitem__)
    length, inner = 1, 0
    while inner < len(dims) and strides[dims[inner]] == length:
        length *= sizes[dims[inner]]
        inner += 1
    outer = dims[inner:]
    if not outer:
        return 1, math.prod(sizes), 0
    for one, other in pairwise(outer):
        if strides[other] != strides[one] * sizes[one]:
            return None
    return math.prod(sizes) // length, length, strides[outer[0]]


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
        hit: of the outputs' shape without the vector's dimension; None where none did.
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
    """The gradient passes, scaled, where nothing was clipped; see `digitise`."""

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
    wants = values is not None and isinstance(scale, Tensor)
    factor = rows.factor(scale)  # which holds the memory that its place is in
    d_y, d_scale, _ = run_output_gradients(
        gradient,
        rows.length,
        rows.outputs,
        factor.place,
        inside,
        values if wants else None,
        in_columns=rows.vectors_in_rows,
        wants_bias=False,
    )
    if d_scale is None or not isinstance(scale, Tensor):
        return d_y, None
    return d_y, (d_scale.sum() if scale.numel() == 1 else d_scale).reshape(scale.shape)


def run_output_gradients(  # noqa: PLR0917 - called for every tile
    gradient: Tensor,
    length: int,
    outputs: int,
    scale: Place,
    inside: Tensor | None,
    values: Tensor | None,
    *,
    in_columns: bool,
    wants_bias: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the gradients at the outputs, at their factor and at what is added to them, `[O]`.

    Args:
        gradient: at the results, without gaps in memory.
        length: of a row.
        outputs: how many a vector has.
        scale: the factor.
        inside: 1 where a value was not clipped; None where none was.
        values: what the factor multiplied; None if it needs no gradient.
        in_columns: whether a row holds vectors; otherwise it belongs to one output.
        wants_bias: whether the last gradient is asked for.
    """
    size = gradient.numel()
    block = max(1, TASK // max(length, 1))
    count = -(-size // max(length, 1))
    tasks = -(-count // block)
    d_y = torch.empty_like(gradient)
    d_scale = d_bias = sums = None
    if values is not None or wants_bias:
        sums = torch.empty(2 * (tasks * length if in_columns else count), dtype=torch.float32)
        make = torch.empty if tasks else torch.zeros
        d_scale = None if values is None else make(outputs, dtype=torch.float32)
        d_bias = make(outputs, dtype=torch.float32) if wants_bias else None
    kernels().output_gradients(
        tasks,
        gradient.data_ptr(),
        d_y.data_ptr(),
        size,
        length,
        block,
        0 if inside is None else inside.data_ptr(),
        *scale,
        0 if values is None else values.data_ptr(),
        outputs,
        in_columns,
        0 if sums is None else sums.data_ptr(),
        0 if d_scale is None else d_scale.data_ptr(),
        0 if d_bias is None else d_bias.data_ptr(),
    )
    return d_y, d_scale, d_bias


def _convert_in_place(
    y: Tensor, conversion: OutputConversion, result: Tensor | None = None, inside: Tensor | None = None
) -> int:
    """Convert in place, or scale into the result; say what was not clipped, and return how much was."""
    seeds = table = None
    deviation, factor, power_factor, power_offset = conversion.deviation, ONE, 0.0, 0.0
    if deviation is not None:
        seeds = draws.block_seeds(y, conversion.generator)
        if isinstance(deviation, ReadNoise):
            if deviation.is_per_output_of(y):
                power_factor, power_offset = deviation.factor, float(deviation.offset)
                deviation = deviation.power
            else:
                deviation = deviation.deviation()
        table = draws.normal_table(1.0 if isinstance(deviation, Tensor) else deviation)
    together = not any(map(_tells_vectors_apart, (deviation, conversion.scale)))
    rows = _rows(y.shape, conversion.vector_dim, together)
    if isinstance(deviation, Tensor):
        factor = rows.factor(deviation)
    scale = rows.factor(conversion.scale)
    hits = _NO_FACTOR
    if conversion.finds_hits:
        conversion.hit = torch.zeros(rows.shape_without_vectors, dtype=torch.bool)
        hits = rows.of_vectors(conversion.hit)
    clipped = run_output_conversion(
        y,
        rows.length,
        seeds,
        table,
        factor.place,
        (power_factor, power_offset),
        conversion.step,
        conversion.bound,
        scale.place,
        hits=(*hits.place[:4], conversion.tests_negative),
        result=result,
        inside=inside,
    )
    if clipped == 0:
        conversion.hit = None
    return clipped


Place = tuple[int, int, int, int, int]
NOWHERE: Place = (0, 1, 1, 1, 0)


def run_output_conversion(  # noqa: PLR0917 - called for every tile
    y: Tensor,
    length: int,
    seeds: NDArray[np.uint64] | None,
    table: Tensor | None,
    deviation: Place,
    power: tuple[float, float],
    step: float,
    bound: float,
    scale: Place,
    *,
    bias: Place = NOWHERE,
    hits: Place = NOWHERE,
    result: Tensor | None = None,
    inside: Tensor | None = None,
) -> int:
    """Convert outputs in place, or scale them into the result.

    Args:
        y: outputs, without gaps in memory.
        length: of a row.
        seeds: of the blocks' streams; None without noise.
        table: the normals.
        deviation: factor of the normals.
        power: if the first is not 0, the deviation is the root of the factor times it, plus the second.
        step: of the grid, 0 without rounding.
        bound: where values are clipped.
        scale: factor of the result.
        bias: what is added to it.
        hits: what is set where a value exceeds the bound; the last of it is whether negative ones count.
        result: None for y.
        inside: becomes 1 where a value was not clipped.

    Returns:
        0 if none was clipped, as far as was asked for: of those that are not inside, or hit the bound.
    """
    clipped: int = kernels().convert_outputs(
        -(-y.numel() // draws.BLOCK),
        y.data_ptr(),
        0 if result is None else result.data_ptr(),
        y.numel(),
        length,
        draws.BLOCK,
        0 if seeds is None else seeds.__array_interface__["data"][0],
        0 if table is None else table.data_ptr(),
        *deviation,
        *power,
        step,
        bound,
        clipping_limit(step, bound),
        *scale,
        *bias,
        *hits,
        0 if inside is None else inside.data_ptr(),
    )[0]
    return clipped


class _Factor(NamedTuple):
    """A factor of the outputs as the kernels take it."""

    values: Tensor
    rows: int
    columns: int
    div: int
    period: int = 0

    @property
    def place(self) -> Place:
        return (self.values.data_ptr(), self.rows, self.columns, self.div, self.period)


_NO_FACTOR, ONE = _Factor(torch.empty(0), 1, 1, 1), _Factor(torch.ones(1, dtype=torch.float32), 1, 1, 1)


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
        vectors = max(1, LONG_ROW // max(self.outputs, 1)) if joined else 1  # in a row
        self.length = self.outputs * vectors if self.vectors_in_rows else math.prod(shape[2:])
        self.count = -(-shape.numel() // max(self.length, 1))

    @property
    def shape_without_vectors(self) -> tuple[int, ...]:
        if self.vectors_in_rows:
            return tuple(self.shape[:-1])
        return (self.shape[0], *self.shape[2:])

    def of_vectors(self, values: Tensor) -> _Factor:
        """Return flags, one for each vector."""
        if self.vectors_in_rows:
            return _Factor(values, 1, 0, self.outputs)
        return _Factor(values, self.shape[0], self.length, self.outputs)

    def factor(self, values: Tensor | float) -> _Factor:
        """Return a factor of the outputs as the kernels take it."""
        if not isinstance(values, Tensor):
            return ONE if values == 1 else _Factor(torch.tensor(values, dtype=torch.float32), 1, 1, 1)
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
    d_x = torch.empty_like(gradient)
    gradient, _ = _runs(gradient, d_x)
    x, (rows, length, stride) = _runs(x, d_x)
    tasks = _tasks(rows, length)
    sums = torch.empty(tasks, dtype=torch.float64)
    clipped, outward = kernels().range_gradients(
        tasks,
        x.data_ptr(),
        stride,
        rows,
        length,
        gradient.data_ptr(),
        TASK,
        d_x.data_ptr() if wants_d_x else 0,
        limit,
        slack_limit,
        sums.data_ptr(),
    )
    return d_x if wants_d_x else None, outward, clipped

"""The compiled loops as functions of tensors: the only place that takes addresses of memory.

Each function checks that its tensors are what the loop is compiled for, since a loop that is given another
type or layout reads and writes memory that is not its own. Each allocates what it returns.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulator.tile import fast, noise
from simulator.tile.dac_adc import clipping_limit

LONG_ROW = 1 << 10  # what starting a row costs is little against it
TASK = 1 << 14  # values that a thread takes at once, where no draws say how many

Runs = tuple[int, int, int]  # number, length and distance of runs of values
_AXES = 35  # integers of a geometry, see `few_range_gradients`


def _check(*values: Tensor | None, dtype: torch.dtype = torch.float32) -> None:
    """Raise TypeError for values of another type, or on another device, than the loops are compiled for."""
    for value in values:
        if value is not None and (value.dtype is not dtype or not value.is_cpu):
            raise TypeError(f"a compiled loop needs {dtype} on the CPU, not {value.dtype} on {value.device}")


def _is_dense(value: Tensor) -> bool:
    """Whether values lie in memory without gaps, in the order of their dimensions or with channels last."""
    return value.is_contiguous() or (
        value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
    )


def _check_dense(*values: Tensor | None, size: int | None = None) -> None:
    """Raise ValueError for values with gaps in memory, or of another number than is read or written."""
    for value in values:
        if value is not None and not _is_dense(value):
            raise ValueError("a compiled loop needs values without gaps in memory")
        if value is not None and size is not None and value.numel() != size:
            raise ValueError(f"a compiled loop needs {size} values here, not {value.numel()}")


def _address(value: Tensor | None) -> int:
    return 0 if value is None else value.data_ptr()


def _array_address(array: NDArray[Any] | None) -> int:
    address: int = 0 if array is None else array.__array_interface__["data"][0]
    return address


# --- the converters of the inputs ---------------------------------------------------------------------------


def convert_inputs(
    x: Tensor,
    scale: float,
    step: float,
    limit: float,
    order: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Return `round(clip(x / scale, limit))`, without gaps in memory.

    Args:
        x: any shape.
        scale: what x is divided by.
        step: of the grid, 0 without rounding.
        limit: where quotients are clipped.
        order: of the result in memory.
    """
    _check(x)
    result = torch.empty(x.shape, dtype=torch.float32, memory_format=order)
    x, (rows, length, stride) = _runs(x, result)
    fast.loops().convert_inputs(
        _tasks(rows, length),
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


def _tasks(rows: int, length: int) -> int:
    """Return how many tasks of `TASK` values runs make."""
    return 0 if length == 0 else -(-rows // max(1, TASK // length)) * -(-length // TASK)


def _runs(x: Tensor, like: Tensor) -> tuple[Tensor, Runs]:
    """Return x and its runs of values, in the order that `like` has in memory.

    A part of the channels is a run in each sample, or at each position where channels lie last. Where runs
    are uneven, x is copied.

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
def _even_runs(sizes: tuple[int, ...], strides: tuple[int, ...], order: tuple[int, ...]) -> Runs | None:
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


class KernelFactor(NamedTuple):
    """A factor of the outputs as the loops take it; see `kernels.py`."""

    values: Tensor
    rows: int = 1
    columns: int = 1
    div: int = 1
    period: int = 0


ONE = KernelFactor(torch.ones(1, dtype=torch.float32))


def _fields(factor: KernelFactor | None) -> tuple[int, int, int, int, int]:
    if factor is None:
        return (0, 1, 1, 1, 0)
    values, rows, columns, div, period = factor
    _check(values)
    _check_dense(values)
    return (values.data_ptr(), rows, columns, div, period)


def convert_outputs(  # noqa: PLR0917 - called for every tile
    y: Tensor,
    length: int,
    seeds: NDArray[np.uint64] | None,
    table: Tensor | None,
    deviation: KernelFactor,
    pooled: tuple[float, float],
    step: float,
    bound: float,
    scale: KernelFactor,
    *,
    bias: KernelFactor | None = None,
    saturated: KernelFactor | None = None,
    tests_negative: bool = False,
    result: Tensor | None = None,
    inside: Tensor | None = None,
) -> int:
    """Convert outputs in place, or scale them into the result.

    Args:
        y: outputs, without gaps in memory.
        length: of a row.
        seeds: `[blocks * lanes, 3]`, of the blocks' streams; None without noise.
        table: the normals, by 16 random bits.
        deviation: factor of the normals.
        pooled: if the first is not 0, the deviation is the root of the factor times it, plus the second.
        step: of the grid, 0 without rounding.
        bound: where values are clipped.
        scale: factor of the result.
        bias: what is added to it.
        saturated: flags that are set where a value exceeds the bound.
        tests_negative: whether negative values can exceed it.
        result: of the shape of y; None for y.
        inside: `uint8`, becomes 1 where a value was not clipped.

    Returns:
        0 if none was clipped, as far as was asked for: of those that are not inside, or are saturated.

    Raises:
        TypeError: a tensor is not of the type, or not on the device, that the loop is compiled for.
        ValueError: a tensor has gaps in memory, or another size.
    """
    size = y.numel()
    blocks = -(-size // noise.BLOCK)
    _check(y, result, table)
    _check_dense(y, result, inside, size=size)
    if inside is not None:
        _check(inside, dtype=torch.uint8)
    if (seeds is None) != (table is None) or (seeds is not None and len(seeds) < blocks * noise.LANES):
        raise ValueError("noise needs a table, and the seeds of all blocks")
    flags = (0, 1, 1, 1)
    if saturated is not None:
        _check(saturated.values, dtype=torch.bool)
        flags = (saturated.values.data_ptr(), saturated.rows, saturated.columns, saturated.div)
    clipped: int = fast.loops().convert_outputs(
        blocks,
        y.data_ptr(),
        _address(result),
        size,
        length,
        noise.BLOCK,
        _array_address(seeds),
        _address(table),
        *_fields(deviation),
        *pooled,
        step,
        bound,
        clipping_limit(step, bound),
        *_fields(scale),
        *_fields(bias),
        *flags,
        tests_negative,
        _address(inside),
    )[0]
    return clipped


def output_gradients(  # noqa: PLR0917 - called for every tile
    gradient: Tensor,
    length: int,
    outputs: int,
    scale: KernelFactor,
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
        inside: `uint8`, 1 where a value was not clipped; None where none was.
        values: what the factor multiplied; None if it needs no gradient.
        in_columns: whether a row holds vectors; otherwise it belongs to one output.
        wants_bias: whether the last gradient is asked for.
    """
    size = gradient.numel()
    _check(gradient, values)
    _check_dense(gradient, inside, values, size=size)
    if inside is not None:
        _check(inside, dtype=torch.uint8)
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
    fast.loops().output_gradients(
        tasks,
        gradient.data_ptr(),
        d_y.data_ptr(),
        size,
        length,
        block,
        _address(inside),
        *_fields(scale),
        _address(values),
        outputs,
        in_columns,
        _address(sums),
        _address(d_scale),
        _address(d_bias),
    )
    return d_y, d_scale, d_bias


# --- input ranges -------------------------------------------------------------------------------------------


def range_gradients(
    x: Tensor, gradient: Tensor, limit: float, slack_limit: float, *, wants_d_x: bool
) -> tuple[Tensor | None, float, int]:
    """Pass the gradient at normalised inputs on to the inputs, and add up what the clipped ones want.

    Args:
        x: inputs, any shape.
        gradient: of the same shape.
        limit: the range.
        slack_limit: a little above or below, from where on no gradient passes.
        wants_d_x: whether the first result is asked for.

    Returns:
        `gradient / limit` where `|x| < slack_limit`, zero elsewhere; the sum of `min(gradient * sign(x), 0)`
        over the inputs with `|x| >= limit`, in double precision; and their number.
    """
    _check(x, gradient)
    if x.shape != gradient.shape:
        raise ValueError(f"inputs {tuple(x.shape)} and gradient {tuple(gradient.shape)} differ in shape")
    d_x = torch.empty_like(gradient)
    gradient, _ = _runs(gradient, d_x)
    x, (rows, length, stride) = _runs(x, d_x)
    tasks = _tasks(rows, length)
    sums = torch.empty(tasks, dtype=torch.float64)
    clipped, outward = fast.loops().range_gradients(
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


def few_range_gradients(  # noqa: PLR0917 - called for every tile
    x: Tensor, gradient: Tensor, weights: Tensor, geometry: NDArray[np.int64], limit: float, most: int
) -> tuple[int, float]:
    """Add up what the clipped inputs of a product want, where inputs need no gradient and few are clipped.

    Args:
        x: inputs `[samples, channels, ...]`, any strides.
        gradient: at the products, `[samples, outputs, ...]`, any strides.
        weights: `[outputs, channels, ...]`, any strides.
        geometry: `[35]`, sizes, options and strides of the product; see `kernels.py`.
        limit: the range.
        most: clipped inputs that are looked at; with more the call ends early.

    Returns:
        How many inputs are clipped, and the sum of `min(gradient * sign(x), 0)` over them.
    """
    _check(x, gradient, weights)
    if geometry.shape != (_AXES,) or geometry.dtype != np.int64:
        raise ValueError(f"a geometry has {_AXES} integers")
    samples = x.shape[0]
    sums = torch.empty(samples, dtype=torch.float64)
    clipped, outward = fast.loops().few_range_gradients(
        samples,
        x.data_ptr(),
        gradient.data_ptr(),
        weights.data_ptr(),
        _array_address(geometry),
        samples,
        limit,
        most,
        sums.data_ptr(),
    )
    return clipped, outward


# --- patches ------------------------------------------------------------------------------------------------


def convert_patches(  # noqa: PLR0917 - called for every tile
    x: Tensor,
    patches: Tensor,
    scales: Tensor,
    divisor: Tensor,
    squares: Tensor | None,
    geometry: tuple[int, ...],
    step: float,
) -> None:
    """Unfold the patches of some samples, and divide them by their largest magnitudes.

    Args:
        x: `[S, C, H, W]` or `[S, C, L]`, contiguous.
        patches: `[S, I, L]`, contiguous; is filled.
        scales: `[S, 1, L]`, contiguous; becomes the largest magnitude in each patch.
        divisor: `[S, 1, L]`, contiguous; becomes the same, but 1 for patches of zeros.
        squares: `[S, 1, L]`, contiguous; becomes the sum of squares of each converted patch; or None.
        geometry: height and width of maps, kernel, strides, padding, dilation and positions.
        step: of the grid, 0 without rounding.
    """
    _check(x, patches, scales, divisor, squares)
    for value in (x, patches, scales, divisor, squares):
        if value is not None and not value.is_contiguous():
            raise ValueError("a compiled loop needs values without gaps in memory")
    samples, _, length = patches.shape
    for value in (scales, divisor, squares):
        if value is not None and value.numel() != samples * length:
            raise ValueError(f"there is one scale for each of {samples * length} patches")
    fast.loops().convert_patches(
        samples,  # tasks
        x.data_ptr(),
        samples,
        x.shape[1],
        *geometry,
        patches.data_ptr(),
        scales.data_ptr(),
        divisor.data_ptr(),
        step,
        _address(squares),
    )


# --- weights ------------------------------------------------------------------------------------------------


def lay_out_weights(
    matrix: Tensor, laid_out: Tensor, scale: Tensor | None, channels: int, leading: int, *, back: bool
) -> None:
    """Divide `[O, I]` by a scale and lay it out as a product takes it, or the other way.

    Args:
        matrix: `[O, I]`, inputs side by side; it is read, or filled on the way back.
        laid_out: `[O, ...]` without gaps in memory; it is filled, or read on the way back.
        scale: `[]`, `[1]` or `[O]`; None for one.
        channels: of `laid_out`, the last of its dimensions in memory.
        leading: positions of the first channel that the inputs leave out.
        back: whether gradients at what is laid out become gradients at the matrix.
    """
    outputs, inputs = matrix.shape
    size = laid_out.numel() // max(outputs, 1)
    _check(matrix, laid_out, scale)
    _check_dense(laid_out, scale)
    if (inputs > 1 and matrix.stride(1) != 1) or (scale is not None and scale.numel() not in (1, outputs)):
        raise ValueError("inputs of a row must lie side by side, and a scale is one number or one per output")
    block = max(1, TASK // max(size, 1))
    fast.loops().lay_out_weights(
        -(-outputs // block),
        matrix.data_ptr(),
        matrix.stride(0),
        outputs,
        inputs,
        _address(scale),
        0 if scale is None or scale.numel() == 1 else 1,
        laid_out.data_ptr(),
        size // channels,
        channels,
        leading,
        back,
        block,
    )


def update_weights(logical: Tensor, scales: Tensor, *, bound: float | None, largest: float | None) -> None:
    """Clip the weights on the tile, and rescale each row to a largest magnitude, in place.

    Args:
        logical: `[O, I]`, tile weights times scales, inputs side by side.
        scales: `[O]`.
        bound: of the tile weights; None clips nothing.
        largest: magnitude of each row's largest tile weight that new scales give; None keeps the scales.
    """
    rows, length = logical.shape
    _check(logical, scales)
    _check_dense(scales, size=rows)
    if length > 1 and logical.stride(1) != 1:
        raise ValueError("inputs of a row must lie side by side")
    block = max(1, TASK // max(length, 1))
    fast.loops().update_weights(
        -(-rows // block),
        logical.data_ptr(),
        logical.stride(0),
        rows,
        length,
        block,
        bound is not None,
        math.inf if bound is None else bound,
        scales.data_ptr(),
        0.0 if largest is None else largest,
    )


# --- the drop along the wires -------------------------------------------------------------------------------


def subtracts_drop(*parts: Tensor, vector_dim: int) -> bool:
    """Return whether `subtract_drop` takes such outputs, which may be parts of larger ones."""
    return (
        parts[0].numel() > 0 and fast.takes(parts[0]) and all(_is_in_runs(part, vector_dim) for part in parts)
    )


def subtract_drop(
    y: Tensor, drop: Tensor, load: Tensor, vector_dim: int, *, load_ratio: float, strength: float
) -> Tensor:
    """Return `y - strength * drop * p(load_ratio * load)` in contiguous memory; p is of third order.

    Args:
        y: currents, in runs that `subtracts_drop` has seen.
        drop: currents weighted by the positions of their inputs, of the same shape.
        load: of the lines, of the same shape.
        vector_dim: along which dimension a vector lies, the last one or 1.
        load_ratio: factor of the load.
        strength: factor of the drop.
    """
    _check(y, drop, load)
    if not y.shape == drop.shape == load.shape or not all(
        _is_in_runs(p, vector_dim) for p in (y, drop, load)
    ):
        raise ValueError("currents, drop and load have one shape and lie in even runs")
    result = y.new_empty(y.shape)
    size = y.shape[-1] if vector_dim == -1 else y[0].numel()
    runs = y.numel() // size
    block = max(1, TASK // size)
    fast.loops().subtract_drop(
        -(-runs // block),
        *(place for part in (y, drop, load) for place in (part.data_ptr(), _run_stride(part, vector_dim))),
        result.data_ptr(),
        runs,
        size,
        block,
        load_ratio,
        strength,
    )
    return result


def _run_stride(part: Tensor, vector_dim: int) -> int:
    """How far the runs of values that belong to one vector, or one sample of maps, are apart."""
    return part.stride(0 if vector_dim == 1 else -2) if part.dim() > 1 else 0


def _is_in_runs(part: Tensor, vector_dim: int) -> bool:
    if vector_dim == 1 or part.dim() == 1:
        return part.is_contiguous() or (part.dim() > 1 and part.shape[0] > 0 and part[0].is_contiguous())
    sizes, strides = part.shape, part.stride()
    evenly = all(strides[i] == strides[i + 1] * sizes[i + 1] for i in range(part.dim() - 2))
    return strides[-1] == 1 and evenly

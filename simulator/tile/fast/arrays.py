"""The compiled loops as functions of tensors: the only place that takes addresses of memory.

Each function checks that its tensors are what the loop is compiled for, since a loop that is given another
type or layout reads and writes memory that is not its own. Each allocates what it returns, which needs no
check. The checks are made for every tile, so they are few calls.
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

from simulator.rng import Randomness
from simulator.tile import fast, noise
from simulator.tile.dac_adc import clipping_limit

LONG_ROW = 1 << 10  # what starting a row costs is little against it
TASK = 1 << 14  # values that a thread takes at once, where no draws say how many

Runs = tuple[int, int, int]  # number, length and distance of runs of values
_AXES = 35  # integers of a geometry, see `few_range_gradients`


def _check_type(*values: Tensor | None, dtype: torch.dtype = torch.float32) -> None:
    """Raise TypeError for values of another type, or on another device, than the loops are compiled for."""
    for value in values:
        if value is not None and (value.dtype is not dtype or not value.is_cpu):
            raise _wrong_type(value, dtype)


def _check(*values: Tensor | None, dtype: torch.dtype = torch.float32) -> None:
    """Raise TypeError as `_check_type`, and ValueError for values with gaps in memory.

    Without gaps values lie in the order of their dimensions or with channels last.
    """
    for value in values:
        if value is None:
            continue
        if value.dtype is not dtype or not value.is_cpu:
            raise _wrong_type(value, dtype)
        if not value.is_contiguous() and not (
            value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
        ):
            raise ValueError("a compiled loop needs values without gaps in memory")


def _wrong_type(value: Tensor, dtype: torch.dtype) -> TypeError:
    return TypeError(f"a compiled loop needs {dtype} on the CPU, not {value.dtype} on {value.device}")


def _check_size(size: int, *values: Tensor | None) -> None:
    """Raise ValueError for values of another number than is read or written."""
    for value in values:
        if value is not None and value.numel() != size:
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
    _check_type(x)
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


class KernelFactor:
    """A factor of the outputs as the loops take it; see `kernels.py`. It is checked when it is made.

    Args:
        values: without gaps in memory.
        rows: how many rows of outputs have values of their own.
        columns: how many values of a row follow each other.
        div: how many outputs in a row share a value.
        period: after how many outputs the values start again.

    Raises:
        TypeError: the values are not of the type, or not on the device, that the loops are compiled for.
        ValueError: they have gaps in memory.
    """

    __slots__ = ("fields", "values")

    def __init__(
        self, values: Tensor, rows: int = 1, columns: int = 1, div: int = 1, period: int = 0
    ) -> None:
        _check(values)
        self.values = values  # which own the memory
        self.fields = (values.data_ptr(), rows, columns, div, period)


ONE = KernelFactor(torch.ones(1, dtype=torch.float32))
_NO_BIAS = (0, 1, 1, 1, 0)


class VectorFlags(NamedTuple):
    """Flags of the vectors of outputs, as the loops set them; `rows`, `columns` and `div` as in a factor."""

    values: Tensor
    rows: int
    columns: int
    div: int


class Converted(NamedTuple):
    """What comes of the outputs' conversion.

    Attributes:
        result: the outputs, or memory of its own.
        inside: `uint8`, 1 where a value was not clipped; None where it was not asked for, or none was.
        clipped: 0 if none was, as far as was asked for: of those that are not inside, or are saturated.
    """

    result: Tensor
    inside: Tensor | None
    clipped: int


def convert_outputs(  # noqa: PLR0917 - called for every tile
    y: Tensor,
    length: int,
    noise_std: float | None,
    generator: Randomness | None,
    step: float,
    bound: float,
    scale: KernelFactor,
    *,
    deviation: KernelFactor = ONE,
    pooled: tuple[float, float] = (0.0, 0.0),
    bias: KernelFactor | None = None,
    saturated: VectorFlags | None = None,
    tests_negative: bool = False,
    apart: bool = False,
    marks_inside: bool = False,
) -> Converted:
    """Convert outputs in place, and scale them.

    Args:
        y: outputs, without gaps in memory.
        length: of a row.
        noise_std: standard deviation of the normals that are added; None without noise.
        generator: the call's stream; needed for noise.
        step: of the grid, 0 without rounding.
        bound: where values are clipped.
        scale: factor of the result.
        deviation: factor of the normals.
        pooled: if the first is not 0, the deviation is the root of the factor times it, plus the second.
        bias: what is added to the result.
        saturated: flags that are set where a value exceeds the bound.
        tests_negative: whether negative values can exceed it.
        apart: whether the result gets memory of its own, and y keeps what is converted and not scaled.
        marks_inside: whether the values that are not clipped are asked for.

    Raises:
        TypeError: a tensor is not of the type, or not on the device, that the loop is compiled for.
        ValueError: a tensor has gaps in memory, or another size; or noise has no stream.
    """
    _check(y)
    size = y.numel()
    result = torch.empty_like(y) if apart else y
    inside = torch.empty_like(y, dtype=torch.uint8) if marks_inside else None
    seeds = table = None
    if noise_std is not None:
        seeds, table = noise.block_seeds(y, generator), noise.normal_table(noise_std)
    flags = (0, 1, 1, 1)
    if saturated is not None:
        _check(saturated.values, dtype=torch.bool)
        flags = (saturated.values.data_ptr(), *saturated[1:])
    clipped: int = fast.loops().convert_outputs(
        -(-size // noise.BLOCK),
        y.data_ptr(),
        result.data_ptr() if apart else 0,
        size,
        length,
        noise.BLOCK,
        0 if seeds is None else seeds.__array_interface__["data"][0],
        0 if table is None else table.data_ptr(),
        *deviation.fields,
        *pooled,
        step,
        bound,
        clipping_limit(step, bound),
        *scale.fields,
        *(_NO_BIAS if bias is None else bias.fields),
        *flags,
        tests_negative,
        0 if inside is None else inside.data_ptr(),
    )[0]
    return Converted(result, inside if clipped else None, clipped)


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
    _check_size(size, inside, values)
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
        0 if inside is None else inside.data_ptr(),
        *scale.fields,
        0 if values is None else values.data_ptr(),
        outputs,
        in_columns,
        0 if sums is None else sums.data_ptr(),
        0 if d_scale is None else d_scale.data_ptr(),
        0 if d_bias is None else d_bias.data_ptr(),
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
    _check_type(x, gradient)
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
    _check_type(x, gradient, weights)
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
    weights: Tensor,
    shape: tuple[int, ...],
    scale: Tensor | None,
    leading: int,
    order: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Return weights divided by a scale, laid out as a product takes them.

    Args:
        weights: `[O, ...]`.
        shape: of the result, `[O, channels, ...]`; positions that the weights leave out become zero.
        scale: `[]`, `[1]` or `[O]`; None for one.
        leading: positions of the first channel that the weights leave out.
        order: of the result in memory.
    """
    laid_out = torch.empty(shape, dtype=torch.float32, memory_format=order)
    matrix = weights
    if weights.dim() > 2 or weights.stride(1) != 1:
        matrix = weights.contiguous().view(shape[0], -1)
    _check_type(matrix)
    _move_weights(matrix, laid_out, scale, leading, order, back=False)
    return laid_out


def weight_gradient(
    d_laid_out: Tensor,
    shape: tuple[int, ...],
    scale: Tensor | None,
    leading: int,
    order: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Return the gradient at weights, from that at what `lay_out_weights` made of them.

    Args:
        d_laid_out: of the shape of what was laid out.
        shape: of the weights, `[O, ...]`.
        scale: as it was when they were laid out, as are the other arguments.
        leading: see there.
        order: see there.
    """
    d_weights = torch.empty(shape, dtype=torch.float32)
    matrix = d_weights if len(shape) == 2 else d_weights.view(shape[0], -1)
    laid_out = d_laid_out.contiguous(memory_format=order)
    _check_type(laid_out)
    _move_weights(matrix, laid_out, scale, leading, order, back=True)
    return d_weights


def _move_weights(
    matrix: Tensor,
    laid_out: Tensor,
    scale: Tensor | None,
    leading: int,
    order: torch.memory_format,
    *,
    back: bool,
) -> None:
    """Fill one of two float32 tensors from the other: rows of inputs side by side, and what has no gaps."""
    outputs, inputs = matrix.shape
    size = laid_out.numel() // max(outputs, 1)
    channels = laid_out.shape[1] if order is torch.channels_last else size
    if laid_out.shape[0] != outputs or inputs + leading > size:
        raise ValueError(f"{outputs} rows of {inputs} weights do not fit {tuple(laid_out.shape)}")
    step = 0
    if scale is not None:
        _check(scale)
        step = 0 if scale.numel() == 1 else 1
        if step == 1 and scale.numel() != outputs:
            raise ValueError(f"a scale is one number or one for each of {outputs} outputs")
    block = max(1, TASK // max(size, 1))
    fast.loops().lay_out_weights(
        -(-outputs // block),
        matrix.data_ptr(),
        matrix.stride(0),
        outputs,
        inputs,
        0 if scale is None else scale.data_ptr(),
        step,
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
    _check_type(logical)
    _check(scales)
    _check_size(rows, scales)
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
    _check_type(y, drop, load)
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

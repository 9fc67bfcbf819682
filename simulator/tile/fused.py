"""The steps of a forward and backward pass that compiled kernels do in one go, where they are at hand.

Kernels need numba (the extra `fast`), the CPU and float32. Everything here has its plain form in torch, which
runs otherwise and gives the same numbers; sums of squares, which scale read noise, agree to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.rng import Randomness
from simulator.tile import draws
from simulator.tile.converters import TOP_CODE_SLACK
from simulator.tile.products import PATCHES, ConvProduct

_ONE = torch.ones(1)
_RANGE_BLOCK = 1 << 14  # inputs whose gradients one thread passes on
_enabled = True


@lru_cache(maxsize=1)
def _kernels() -> Any:
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
    if not _enabled or _kernels() is None:
        return False
    for value in values:  # noqa: SIM110 - asked for every tile: a generator would double the time
        if value.dtype is not torch.float32 or not value.is_cpu:
            return False
    return True


# --- the converters of the inputs ---------------------------------------------------------------------------


def convert_inputs(
    x: Tensor, scale: float, step: float, *, limit: float = math.inf, bound: float = math.inf
) -> Tensor:
    """Return `clip(round(clip(x / scale, limit)), bound)` in contiguous memory; see `round_`."""
    if not _is_in_rows(x):
        x = x.contiguous()
    rows = 1 if x.is_contiguous() else x.shape[0]
    length = x.numel() // max(rows, 1)
    result = x.new_empty(x.shape)
    _kernels().convert_inputs(
        rows * -(-length // draws.BLOCK),
        x.data_ptr(),
        x.stride(0) if rows > 1 else length,
        rows,
        length,
        draws.BLOCK,
        result.data_ptr(),
        scale,
        limit,
        step,
        bound,
    )
    return result


def _is_in_rows(x: Tensor) -> bool:
    """Whether each sample is contiguous, as in a part of the channels."""
    return x.is_contiguous() or (x.dim() > 1 and x.shape[0] > 0 and x[0].is_contiguous())


# --- the converters of the outputs --------------------------------------------------------------------------


@dataclass(slots=True)
class OutputConversion:
    """What is done to outputs: noise, grid, bound, scale. `hit` is filled in: which vectors hit the bound.

    Attributes:
        vector_dim: along which of the outputs' dimensions a vector lies, the last one or 1.
        step: of the grid, 0 without rounding.
        bound: where values are clipped.
        deviation: of the noise: a number, or a tensor that broadcasts over the outputs; None without noise.
        generator: the call's stream.
        scale: factor of the result; it gets no gradient.
        finds_hits: whether it is asked for.
        tests_negative: whether a negative value can hit the bound too.
        hit: of the outputs' shape without the vector's dimension.
    """

    vector_dim: int
    step: float
    bound: float
    deviation: Tensor | float | None
    generator: Randomness | None
    scale: Tensor | float
    finds_hits: bool
    tests_negative: bool
    hit: Tensor | None = None


def converts_outputs(y: Tensor) -> bool:
    """Whether a kernel converts such outputs."""
    return y.is_contiguous() and at_hand(y)


def convert_outputs(y: Tensor, conversion: OutputConversion) -> Tensor:
    """Return `scale * clip(round(y + noise))`, in place of y; see `digitise` and `OutputConversion`."""
    if y.requires_grad and torch.is_grad_enabled():
        result: Tensor = _ConvertOutputs.apply(y, conversion)  # type: ignore[no-untyped-call]
        return result
    _convert_in_place(y, conversion, None)
    return y


class _ConvertOutputs(torch.autograd.Function):
    """The gradient passes, scaled, where the rounded value was not clipped; see `digitise`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, conversion: OutputConversion) -> Tensor:
        ctx.mark_dirty(y)
        ctx.scale = conversion.scale
        flags = None if conversion.bound == math.inf else torch.empty(y.shape, dtype=torch.uint8)
        clipped = _convert_in_place(y, conversion, flags)
        ctx.inside = flags if clipped else None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if ctx.inside is not None:
            return (gradient * ctx.inside).mul_(ctx.scale), None
        return gradient * ctx.scale, None


def _convert_in_place(y: Tensor, conversion: OutputConversion, inside: Tensor | None) -> int:
    """Convert, say in `inside` what was not clipped, and return how much was."""
    rows = _Rows(y, conversion.vector_dim)
    seeds = table = None
    deviation = rows.factor(1.0)
    if conversion.deviation is not None:
        seeds = draws.block_seeds(y, conversion.generator)
        if isinstance(conversion.deviation, Tensor):
            table, deviation = draws.normal_table(1.0), rows.factor(conversion.deviation)
        else:
            table = draws.normal_table(conversion.deviation)
    scale = rows.factor(conversion.scale)
    hits = _NO_FACTOR
    if conversion.finds_hits:
        conversion.hit = torch.zeros(rows.shape_without_vectors, dtype=torch.bool)
        hits = rows.of_vectors(conversion.hit)
    clipped: int = _kernels().convert_outputs(
        -(-y.numel() // draws.BLOCK),
        y.data_ptr(),
        y.numel(),
        rows.length,
        draws.BLOCK,
        0 if seeds is None else seeds.__array_interface__["data"][0],
        0 if table is None else table.data_ptr(),
        *deviation.place,
        conversion.step,
        conversion.bound,
        conversion.bound * TOP_CODE_SLACK,
        *scale.place,
        *hits.place,
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

    @property
    def place(self) -> tuple[int, int, int, int]:
        return (self.values.data_ptr(), self.rows, self.columns, self.div)


_NO_FACTOR = _Factor(torch.empty(0), 1, 1, 1)


class _Rows:
    """Outputs as rows of numbers that follow each other."""

    def __init__(self, y: Tensor, vector_dim: int) -> None:
        self.shape = y.shape
        self.vectors_in_rows = vector_dim == -1
        self.outputs = y.shape[-1] if self.vectors_in_rows else y.shape[1]
        self.length = y.shape[-1] if self.vectors_in_rows else math.prod(y.shape[2:])

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
            return _Factor(_ONE if values == 1 else torch.tensor(values, dtype=torch.float32), 1, 1, 1)
        values = values.detach()
        if values.numel() == 1:
            return _Factor(values, 1, 1, 1)
        own = (1,) * (len(self.shape) - values.dim()) + tuple(values.shape)
        if self.vectors_in_rows:
            lead = own[:-1]
            if all(size == 1 for size in lead) or lead == tuple(self.shape[:-1]):
                return _Factor(values.contiguous(), math.prod(lead), own[-1], 1)
        else:
            batch, outputs, places = own[0], own[1], own[2:]
            if all(size == 1 for size in places) or places == tuple(self.shape[2:]):
                columns = math.prod(places)
                if outputs == self.outputs and (batch in (1, self.shape[0])):
                    return _Factor(values.contiguous(), batch * outputs, columns, 1)
                if outputs == 1:
                    return _Factor(values.contiguous(), batch, columns, self.outputs)
        return _Factor(
            values.expand(self.shape).contiguous(), math.prod(self.shape) // self.length, self.length, 1
        )


# --- patches whose scales differ ----------------------------------------------------------------------------


def converts_patches(x: Tensor, product: ConvProduct) -> bool:
    """Whether a kernel converts the unfolded patches of such inputs of a convolution."""
    return product.leading == product.trailing == 0 and product.bias_input is None and at_hand(x)


def patch_product(
    x: Tensor, weights: Tensor, product: ConvProduct, divisor: Tensor, step: float, *, wants_squares: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Multiply converted patches with the weights.

    The gradient is that of straight-through rounding and of a divisor without gradient; nothing is clipped.

    Args:
        x: `[B, C, ...]`.
        weights: `[O, I]`.
        product: the convolution.
        divisor: `[B, 1, L]`, the scales of the patches.
        step: of the grid, 0 without rounding.
        wants_squares: whether sums of squares are asked for.

    Returns:
        The product `[B, O, L]`, the patches `[B, I, L]`, the sums of their squares `[B, 1, L]`.
    """
    patches = _of_its_own(product.unfold(x.detach()), x)
    sums = x.new_zeros(divisor.shape) if wants_squares else None
    divisor = divisor.contiguous()
    _kernels().convert_vectors(
        patches.shape[0],
        patches.data_ptr(),
        *patches.shape,
        divisor.data_ptr(),
        step,
        0 if sums is None else sums.data_ptr(),
    )
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        y: Tensor = _PatchProduct.apply(x, weights, patches, divisor, product)  # type: ignore[no-untyped-call]
    else:
        y = PATCHES(patches, weights)
    return y, patches, sums


def _of_its_own(patches: Tensor, x: Tensor) -> Tensor:
    """Return the patches in contiguous memory that is not that of x, as kernels of one element give views."""
    shares = patches.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    return patches.clone(memory_format=torch.contiguous_format) if shares else patches.contiguous()


class _PatchProduct(torch.autograd.Function):
    """Inputs get their gradient by the native operator, weights from the converted patches."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes arguments by position
        ctx: Any, x: Tensor, weights: Tensor, patches: Tensor, divisor: Tensor, product: ConvProduct
    ) -> Tensor:
        ctx.save_for_backward(x, weights, patches, divisor)
        ctx.product = product
        return PATCHES(patches, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weights, patches, divisor = ctx.saved_tensors
        d_x = d_weights = None
        if ctx.needs_input_grad[1]:
            d_weights = torch.bmm(gradient, patches.transpose(1, 2)).sum(dim=0)
        if ctx.needs_input_grad[0]:
            d_x = ctx.product.input_gradient(gradient / divisor, x, weights)
        return d_x, d_weights, None, None, None


# --- input ranges -------------------------------------------------------------------------------------------


def range_gradients(
    x: Tensor, gradient: Tensor, limit: float, slack_limit: float, *, wants_d_x: bool
) -> tuple[Tensor | None, Tensor, int]:
    """Pass the gradient at normalised inputs on to the inputs, and add up what the clipped ones want.

    Returns:
        `gradient / limit` where `|x| < slack_limit`, zero elsewhere; the sum of `min(gradient * sign(x), 0)`
        over the inputs with `|x| >= limit`, `[]` in float64; and their number.
    """
    x, gradient = x.contiguous(), gradient.contiguous()
    d_x = x.new_empty(x.shape) if wants_d_x else None
    tasks = -(-x.numel() // _RANGE_BLOCK)
    outward = torch.empty(tasks, dtype=torch.float64)
    clipped: int = _kernels().range_gradients(
        tasks,
        x.data_ptr(),
        gradient.data_ptr(),
        x.numel(),
        _RANGE_BLOCK,
        0 if d_x is None else d_x.data_ptr(),
        limit,
        slack_limit,
        outward.data_ptr(),
    )
    return d_x, outward.sum(), clipped

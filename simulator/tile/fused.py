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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.tile import draws
from simulator.tile.converters import TOP_CODE_SLACK
from simulator.tile.products import PATCHES, ConvProduct

_Floats = NDArray[np.float32]
_ONE = np.ones((1, 1), np.float32)
_NO_NOISE = np.empty((0, 3), np.uint64)
_NO_TABLE = np.empty(0, np.float32)
_NO_SUMS = np.empty((0, 0), np.float32)
_NO_HITS = np.empty((0, 0), np.uint8)
_NO_FLAGS = np.empty(0, np.uint8)
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
    return (
        _enabled
        and all(value.dtype is torch.float32 and value.device.type == "cpu" for value in values)
        and _kernels() is not None
    )


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
    generator: torch.Generator | None
    scale: Tensor | float
    finds_hits: bool
    tests_negative: bool
    hit: Tensor | None = None


def converts_outputs(y: Tensor) -> bool:
    """Whether a kernel converts such outputs: few are not worth the call."""
    return y.numel() > draws.FEW and y.is_contiguous() and at_hand(y)


def convert_outputs(y: Tensor, conversion: OutputConversion) -> Tensor:
    """Return `scale * clip(round(y + noise))`, in place of y; see `digitise` and `OutputConversion`."""
    if y.requires_grad and torch.is_grad_enabled():
        result: Tensor = _ConvertOutputs.apply(y, conversion)  # type: ignore[no-untyped-call]
        return result
    _convert_in_place(y, conversion, flags=_NO_FLAGS)
    return y


class _ConvertOutputs(torch.autograd.Function):
    """The gradient passes, scaled, where the rounded value was not clipped; see `digitise`."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, conversion: OutputConversion) -> Tensor:
        ctx.mark_dirty(y)
        ctx.scale = conversion.scale
        flags = _NO_FLAGS if conversion.bound == math.inf else np.empty(y.numel(), np.uint8)
        clipped = _convert_in_place(y, conversion, flags=flags)
        ctx.inside = torch.from_numpy(flags).view(y.shape) if clipped else None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if ctx.inside is not None:
            return (gradient * ctx.inside).mul_(ctx.scale), None
        return gradient * ctx.scale, None


def _convert_in_place(y: Tensor, conversion: OutputConversion, *, flags: NDArray[np.uint8]) -> int:
    rows = _Rows(y, conversion.vector_dim)
    seeds, table, deviation = _NO_NOISE, _NO_TABLE, (_ONE, 1)
    if conversion.deviation is not None:
        seeds = draws.block_seeds(y, conversion.generator)
        if isinstance(conversion.deviation, Tensor):
            table, deviation = draws.normal_table(1.0).numpy(), rows.factor(conversion.deviation)
        else:
            table = draws.normal_table(conversion.deviation).numpy()
    hits, hits_div = _NO_HITS, 1
    if conversion.finds_hits:
        hits, hits_div = rows.flag_per_vector()
    clipped: int = _kernels().convert_outputs(
        y.detach().view(-1).numpy(),
        rows.length,
        seeds,
        draws.BLOCK,
        table,
        *deviation,
        np.float32(conversion.step),
        np.float32(conversion.bound),
        np.float32(conversion.bound * TOP_CODE_SLACK),
        *rows.factor(conversion.scale),
        hits,
        hits_div,
        conversion.tests_negative,
        flags,
    )
    if conversion.finds_hits:
        conversion.hit = torch.from_numpy(hits).view(torch.bool).view(rows.shape_without_vectors)
    return clipped


class _Rows:
    """Outputs as rows of numbers that follow each other, and factors as the kernels take them."""

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

    def flag_per_vector(self) -> tuple[NDArray[np.uint8], int]:
        """Return zeros for each vector, as a factor."""
        if self.vectors_in_rows:
            return np.zeros((math.prod(self.shape[:-1]), 1), np.uint8), 1
        return np.zeros((self.shape[0], self.length), np.uint8), self.outputs

    def factor(self, values: Tensor | float) -> tuple[_Floats, int]:
        """Return a factor of the outputs as the kernels take it."""
        if not isinstance(values, Tensor):
            return np.full((1, 1), values, np.float32), 1
        values = values.detach()
        if values.numel() == 1:
            return values.reshape(1, 1).numpy(), 1
        own = (1,) * (len(self.shape) - values.dim()) + tuple(values.shape)
        if self.vectors_in_rows:
            lead = own[:-1]
            if all(size == 1 for size in lead) or lead == tuple(self.shape[:-1]):
                return values.reshape(-1, own[-1]).contiguous().numpy(), 1
        else:
            batch, outputs, places = own[0], own[1], own[2:]
            if all(size == 1 for size in places) or places == tuple(self.shape[2:]):
                rows = values.reshape(batch * outputs, -1).contiguous().numpy()
                if outputs == self.outputs and (batch in (1, self.shape[0])):
                    return rows, 1
                if outputs == 1:
                    return rows, self.outputs
        return values.expand(self.shape).reshape(-1, self.length).contiguous().numpy(), 1


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
    _kernels().convert_vectors(
        patches.numpy(),
        divisor.squeeze(1).numpy(),
        np.float32(step),
        _NO_SUMS if sums is None else sums.squeeze(1).numpy(),
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
) -> tuple[Tensor | None, Tensor]:
    """Pass the gradient at normalised inputs on to the inputs, and collect what the clipped ones want.

    Returns:
        `gradient / limit` where `|x| < slack_limit`, zero elsewhere; and `gradient * sign(x)` of the inputs
        with `|x| >= limit`, in their order.
    """
    d_x = x.new_empty(x.shape if wants_d_x else 0)
    outward = x.new_empty(x.numel())
    count = _kernels().range_gradients(
        x.reshape(-1).numpy(),
        gradient.reshape(-1).numpy(),
        d_x.view(-1).numpy(),
        outward.numpy(),
        np.float32(limit),
        np.float32(slack_limit),
        wants_d_x,
    )
    return d_x if wants_d_x else None, outward[:count]

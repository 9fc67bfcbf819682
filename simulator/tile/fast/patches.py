"""Convolutions whose patches have scales of their own, by compiled kernels: unfold, convert and multiply.

Unfolded maps are as many times larger as the kernel has elements. Where no gradient is needed, a few samples
at a time pass through memory that stays in the cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.tile.fast import arrays
from simulator.tile.layout import PATCHES, ConvProduct

_CACHED = 1 << 18  # values that stay in a core's cache


class ReadNoiseInput(Enum):
    """What is asked for of the squares of patches: what read noise grows with."""

    NONE = auto()
    SQUARES = auto()  # sum x^2, [B, 1, L]
    OF_CONDUCTANCES = auto()  # sum |w| x^2, [B, O, L]


@dataclass(frozen=True)
class PatchResult:
    """What a map's converted patches give.

    Attributes:
        y: the product, `[B, O, L]`.
        scales: the largest magnitude in each patch, `[B, 1, L]`; no gradient passes here.
        divisor: what the patches were divided by: the scales, but 1 for patches of zeros.
        noise_input: `[B, 1, L]` or `[B, O, L]`, or None; it gets no gradient.
    """

    y: Tensor
    scales: Tensor
    divisor: Tensor
    noise_input: Tensor | None


def patch_product(
    x: Tensor, weights: Tensor, product: ConvProduct, *, step: float, noise_input: ReadNoiseInput
) -> PatchResult:
    """Divide patches by their largest magnitudes, round them, and multiply them with the weights.

    The gradient is that of straight-through rounding and of a divisor without gradient; nothing is clipped.

    Args:
        x: `[B, C, ...]`.
        weights: `[O, I]`.
        product: the convolution.
        step: of the grid, 0 without rounding.
        noise_input: what is asked for beside the product.
    """
    patches = _Patches(x.detach().contiguous(), product, step, noise_input)
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        kept = patches.converted()
        y: Tensor = _PatchProduct.apply(x, weights, kept, patches.divisor, product)  # type: ignore[no-untyped-call]
        of_patches = patches.noise_input_of(kept, weights.detach())
    else:
        with torch.no_grad():
            y, of_patches = patches.multiply(weights)
    return PatchResult(y, patches.scales, patches.divisor, of_patches)


class _Patches:
    """The patches of a map, converted when they are asked for."""

    def __init__(self, x: Tensor, product: ConvProduct, step: float, noise_input: ReadNoiseInput) -> None:
        self.x, self.product, self.step, self.noise_input = x, product, step, noise_input
        self.positions = product.output_size(x)
        self.length = math.prod(self.positions)
        self.elements = product.channels * math.prod(product.kernel_size)
        self.scales, self.divisor = x.new_empty(2, x.shape[0], 1, self.length).unbind()
        self.sums = torch.empty_like(self.scales) if noise_input is ReadNoiseInput.SQUARES else None

    def converted(self) -> Tensor:
        """Return all patches, `[B, I, L]`."""
        patches = self.x.new_empty(self.x.shape[0], self.elements, self.length)
        self._convert(0, patches)
        return patches

    def multiply(self, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the product, and the noise_input, without keeping the patches."""
        samples = self.x.shape[0]
        y = self.x.new_empty(samples, weights.shape[0], self.length)
        weighted = torch.empty_like(y) if self.noise_input is ReadNoiseInput.OF_CONDUCTANCES else None
        magnitudes = None if weighted is None else weights.abs()
        group = max(torch.get_num_threads(), _CACHED // max(self.elements * self.length, 1))
        memory = self.x.new_empty(min(samples, group), self.elements, self.length)
        for first in range(0, samples, group):
            part = slice(first, first + group)
            patches = memory[: samples - first]
            self._convert(first, patches)
            torch.bmm(weights.expand(len(patches), -1, -1), patches, out=y[part])
            if weighted is not None and magnitudes is not None:
                torch.bmm(magnitudes.expand(len(patches), -1, -1), patches.square_(), out=weighted[part])
        return y, self.sums if weighted is None else weighted

    def noise_input_of(self, patches: Tensor, weights: Tensor) -> Tensor | None:
        """Return the noise_input of patches that were kept."""
        return (
            PATCHES(patches.square(), weights.abs())
            if self.noise_input is ReadNoiseInput.OF_CONDUCTANCES
            else self.sums
        )

    def _convert(self, first: int, patches: Tensor) -> None:
        """Unfold and convert some samples from a first one on."""
        part = slice(first, first + len(patches))
        geometry = (
            *_as_plane(self.x.shape[2:], 1),
            *_as_plane(self.product.kernel_size, 1),
            *_as_plane(self.product.stride, 1),
            *_as_plane(self.product.padding, 0),
            *_as_plane(self.product.dilation, 1),
            *_as_plane(self.positions, 1),
        )
        squares = None if self.sums is None else self.sums[part]
        arrays.convert_patches(
            self.x[part], patches, self.scales[part], self.divisor[part], squares, geometry, self.step
        )


def _as_plane(sizes: tuple[int, ...], missing: int) -> tuple[int, int]:
    """Return what belongs to the two dimensions of a plane; a line is a plane of one row."""
    return (missing, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


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
        of_inputs, of_weights = ctx.needs_input_grad[:2]
        _, d_weights = PATCHES.gradients(gradient, patches, weights, of_inputs=False, of_weights=of_weights)
        d_x = None
        if of_inputs:
            d_x, _ = ctx.product.gradients(gradient / divisor, x, weights, of_inputs=True, of_weights=False)
        return d_x, d_weights, None, None, None

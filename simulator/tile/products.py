"""The two shapes of a product between inputs and a tile's weights: dense, and convolution without unfolding.

Everything an analog product needs (currents, norms, read noise) is again a product of some function of the
input with some function of the weights, so one operator with two implementations serves the whole forward
pass. Legend of shapes: N vectors, I inputs and O outputs of the tile, B batch, C channels, K kernel elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Product(Protocol):
    """Multiplies inputs with a tile's weights and knows where the outputs lie."""

    def __call__(self, x: Tensor, weights_OI: Tensor) -> Tensor:
        """Return the products of all input vectors with the weights."""
        ...

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return a view of one value per output that broadcasts over the product's result."""
        ...

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return the sum of each input vector; broadcasts over the product's result."""
        ...


class DenseProduct:
    """Input vectors in rows: `x_NI` times `weights_OI`.

    `weights_SOI` give each of S samples weights of its own; a sample is N / S consecutive vectors.
    """

    def __call__(self, x: Tensor, weights_OI: Tensor) -> Tensor:
        """Return `[N, O]`."""
        if weights_OI.dim() == 2:
            return functional.linear(x, weights_OI)
        samples = weights_OI.shape[0]
        x_SNI = x.reshape(samples, -1, x.shape[-1])
        return torch.bmm(x_SNI, weights_OI.transpose(1, 2)).reshape(-1, weights_OI.shape[1])

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return the values as they are: outputs come last."""
        return values_O

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return `[N, 1]`."""
        return x.sum(dim=-1, keepdim=True)


DENSE = DenseProduct()

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}


@dataclass(frozen=True)
class ConvProduct:
    """A tile of a convolution, applied to the padded feature map `[B, C, ...]` by the native operator.

    The tile's inputs are a stretch of the flattened kernel (channel-major). The channels that it touches are
    what `x` must hold; kernel elements of these channels that belong to neighbouring tiles get weight zero.

    Attributes:
        kernel_size: the kernel's extent in each dimension.
        stride: its stride.
        padding: zeros added on both sides by the operator itself.
        dilation: its dilation.
        channels: how many channels the tile's stretch touches.
        leading: kernel elements of the first channel that belong to the tile before.
        trailing: kernel elements of the last channel that belong to the tile after.
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    channels: int
    leading: int = 0
    trailing: int = 0

    def __call__(self, x: Tensor, weights_OI: Tensor) -> Tensor:
        """Return `[B, O, ...]`."""
        if self.leading or self.trailing:
            weights_OI = functional.pad(weights_OI, (self.leading, self.trailing))
        kernel = weights_OI.reshape(weights_OI.shape[0], self.channels, *self.kernel_size)
        convolve = _CONVOLUTIONS[len(self.kernel_size)]
        return convolve(x, kernel, None, self.stride, self.padding, self.dilation)

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return `[O, 1, ...]` of a vector; a single value stays as it is."""
        if values_O.dim() == 0 or values_O.numel() == 1:
            return values_O
        return values_O.reshape(-1, *(1 for _ in self.kernel_size))

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return `[B, 1, ...]`: the sums over the patches."""
        elements = self.channels * math.prod(self.kernel_size) - self.leading - self.trailing
        return self(x, x.new_ones(1, elements))

"""The shapes of a product between inputs and a tile's weights: dense, native convolution, unfolded patches.

Everything an analog product needs (currents, norms, read noise) is again a product of some function of the
input with some function of the weights, so one operator with a few implementations serves the whole forward
pass. Legend of shapes: I inputs and O outputs of the tile, B batch, C channels, L positions of a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Product(Protocol):
    """Multiplies inputs with a tile's weights and knows where vectors and outputs lie.

    Attributes:
        vector_dim: the dimension along which an input vector, and its outputs, lie.
    """

    @property
    def vector_dim(self) -> int:
        """The dimension of the inputs in `x`, and of the outputs in the result."""
        ...

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return the products of all input vectors with the weights."""
        ...

    def gradients(
        self, gradient: Tensor, x: Tensor, weights: Tensor, *, of_inputs: bool, of_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients at the inputs and at the weights, where they are asked for."""
        ...

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return a view of one value per output that broadcasts over the product's result."""
        ...

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return the sum of each input vector; broadcasts over the product's result."""
        ...

    def vectors(self, x: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the chosen input vectors, `[N, I]`."""
        ...


def _coordinates(positions: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """Return the coordinates of numbered positions; `torch.unravel_index` would import a computer algebra."""
    coordinates: list[Tensor] = []
    for size in reversed(sizes):
        coordinates.insert(0, positions % size)
        positions = positions // size
    return coordinates


def _chosen(x: Tensor, positions: tuple[Tensor, ...], vector_dim: int) -> Tensor:
    return x.movedim(vector_dim, -1)[positions]


class DenseProduct:
    """Input vectors in rows: `[..., I]` times `[O, I]`, or `[S, ..., I]` times weights `[S, O, I]`."""

    vector_dim = -1

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return `[..., O]`."""
        if weights.dim() == 2:
            return functional.linear(x, weights)
        rows = x.reshape(weights.shape[0], -1, x.shape[-1])
        return torch.bmm(rows, weights.transpose(1, 2)).reshape(*x.shape[:-1], -1)

    def gradients(
        self, gradient: Tensor, x: Tensor, weights: Tensor, *, of_inputs: bool, of_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """See the protocol."""
        if weights.dim() == 2:
            rows = gradient.reshape(-1, gradient.shape[-1])
            return (
                rows.mm(weights).view(x.shape) if of_inputs else None,
                rows.t().mm(x.reshape(-1, x.shape[-1])) if of_weights else None,
            )
        samples = weights.shape[0]
        rows = gradient.reshape(samples, -1, gradient.shape[-1])
        d_x = d_weights = None
        if of_inputs:
            d_x = torch.bmm(rows, weights).reshape(x.shape)
        if of_weights:
            inputs = x.reshape(samples, -1, x.shape[-1])
            d_weights = torch.bmm(rows.transpose(1, 2), inputs).reshape(weights.shape)
        return d_x, d_weights

    def gradient_at(self, gradient: Tensor, weights: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the gradient `[P]` at chosen inputs, given by their indices in x."""
        return (gradient[positions[:-1]] * weights.t()[positions[-1]]).sum(dim=-1)

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return the values as they are: outputs come last."""
        return values_O

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return `[..., 1]`."""
        return x.sum(dim=-1, keepdim=True)

    def largest_inputs(self, x: Tensor) -> Tensor:
        """Return `[..., 1]`: the absolute maxima."""
        return x.abs().amax(dim=-1, keepdim=True)

    def vectors(self, x: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the chosen input vectors, `[N, I]`."""
        return _chosen(x, positions, self.vector_dim)


class PatchProduct:
    """Unfolded patches `[B, I, L]` times `[O, I]`, or weights `[B, O, I]` for every sample."""

    vector_dim = 1

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return `[B, O, L]`; `matmul` would move the patches around where weights need a gradient."""
        return torch.bmm(weights.expand(x.shape[0], -1, -1), x)

    def gradients(
        self, gradient: Tensor, x: Tensor, weights: Tensor, *, of_inputs: bool, of_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """See the protocol."""
        d_x = d_weights = None
        if of_inputs:
            d_x = torch.bmm(weights.expand(x.shape[0], -1, -1).transpose(1, 2), gradient)
        if of_weights:
            d_weights = torch.bmm(gradient, x.transpose(1, 2)).sum_to_size(weights.shape)
        return d_x, d_weights

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return `[O, 1]` of a vector; a single value stays as it is."""
        return values_O if values_O.numel() == 1 else values_O.unsqueeze(-1)

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return `[B, 1, L]`."""
        return x.sum(dim=1, keepdim=True)

    def vectors(self, x: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the chosen input vectors, `[N, I]`."""
        return _chosen(x, positions, self.vector_dim)


@dataclass(frozen=True)
class UnitVectorProduct:
    """The unit vectors as inputs, `[1, 1]`: the one number of each that is not zero. Reads a tile out.

    The result is a scaling of the weights' rows, without a product of matrices.

    Attributes:
        inputs: how many there are.
    """

    inputs: int

    vector_dim = -1

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return `[I, O]`, contiguous whatever the weights' layout."""
        return torch.mul(x, weights.t(), out=x.new_empty(self.inputs, weights.shape[0]))

    def gradients(
        self, gradient: Tensor, x: Tensor, weights: Tensor, *, of_inputs: bool, of_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """See the protocol."""
        d_x = (gradient * weights.t()).sum_to_size(x.shape) if of_inputs else None
        return d_x, (gradient * x).t() if of_weights else None

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return the values as they are: outputs come last."""
        return values_O

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return `[1, 1]`."""
        return x

    def vectors(self, x: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the chosen input vectors, `[N, I]`."""
        chosen = positions[0].unsqueeze(1)
        return x.new_zeros(len(chosen), self.inputs).scatter_(1, chosen, x.expand(len(chosen), 1))


DENSE = DenseProduct()
PATCHES = PatchProduct()

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}


@dataclass(frozen=True)
class ConvProduct:
    """A tile of a convolution, applied to the feature map `[B, C, ...]` by the native operator.

    The tile's inputs are a stretch of the flattened kernel (channel-major). The channels that it touches are
    what `x` must hold; kernel elements of these channels that belong to neighbouring tiles get weight zero.

    Attributes:
        kernel_size: the kernel's extent in each dimension.
        stride: its stride.
        padding: zeros added on both sides.
        dilation: its dilation.
        channels: how many channels the tile's stretch touches.
        leading: kernel elements of the first channel that belong to the tile before.
        trailing: kernel elements of the last channel that belong to the tile after.
        bias_input: `[1]`, the converted input of an analog bias column, which only patches can hold; or None.
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    channels: int
    leading: int = 0
    trailing: int = 0
    bias_input: Tensor | None = None

    vector_dim = 1

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return `[B, O, ...]`."""
        convolve = _CONVOLUTIONS[len(self.kernel_size)]
        return convolve(x, self.kernel(weights), None, self.stride, self.padding, self.dilation)

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return `[O, 1, ...]` of a vector; a single value stays as it is."""
        if values_O.numel() == 1:
            return values_O
        return values_O.reshape(-1, *(1 for _ in self.kernel_size))

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return `[B, 1, ...]`: the sums over the patches."""
        elements = math.prod(self.kernel_size)
        if self.leading or self.trailing:
            return self(x, x.new_ones(1, self.channels * elements - self.leading - self.trailing))
        whole = replace(self, channels=1)
        return whole(x.sum(dim=1, keepdim=True), x.new_ones(1, elements))

    def largest_inputs(self, x: Tensor) -> Tensor:
        """Return `[B, 1, ...]`: the absolute maxima over the patches, of all channels touched."""
        maxima = functional.pad(x.abs().amax(dim=1, keepdim=True), self._margins)
        for axis, positions in enumerate(self.output_size(x), start=2):
            stride, dilation = self.stride[axis - 2], self.dilation[axis - 2]
            maxima = reduce(
                torch.maximum,
                (
                    maxima.narrow(axis, offset * dilation, (positions - 1) * stride + 1)[
                        (slice(None),) * axis + (slice(None, None, stride),)
                    ]
                    for offset in range(self.kernel_size[axis - 2])
                ),
            )
        return maxima if self.bias_input is None else torch.maximum(maxima, self.bias_input.abs())

    def vectors(self, x: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the chosen patches, `[N, I]`, without a bias column; positions are `(b, l)`."""
        samples, unfolded = positions
        return self.patches_at(x, (samples, *_coordinates(unfolded, self.output_size(x))))

    def patches_at(self, x: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the chosen patches, `[N, I]`, without a bias column; positions are `(b, h, w)`, say."""
        patches = self._windows(x).movedim(1, len(self.kernel_size) + 1)[positions].flatten(1)
        return patches[:, self.leading : patches.shape[1] - self.trailing]

    def gradients(
        self, gradient: Tensor, x: Tensor, weights: Tensor, *, of_inputs: bool, of_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """See the protocol; the gradient is `[B, O, ...]` or `[B, O, L]`."""
        kernel = self.kernel(weights)
        if gradient.dim() != x.dim():
            gradient = gradient.reshape(*gradient.shape[:2], *self.output_size(x))
        d_x, d_kernel, _ = torch.ops.aten.convolution_backward(
            gradient,
            x,
            kernel,
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,  # noqa: FBT003 - not transposed
            [0] * len(self.kernel_size),
            1,
            [of_inputs, of_weights, False],
        )
        if d_kernel is None or weights.dim() > 2:
            return d_x, d_kernel
        d_weights = d_kernel.reshape(weights.shape[0], -1)
        return d_x, d_weights[:, self.leading : d_weights.shape[1] - self.trailing]

    def gradient_at(self, gradient: Tensor, weights: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the gradient `[P]` at chosen inputs, given by their indices in x, and at no others."""
        samples, channels, *coordinates = positions
        dimensions = len(self.kernel_size)
        inside = torch.ones((), dtype=torch.bool, device=gradient.device)
        indices = [samples.reshape(-1, *(1 for _ in range(dimensions)))]
        for axis, coordinate in enumerate(coordinates):
            offsets = torch.arange(self.kernel_size[axis], device=gradient.device) * self.dilation[axis]
            reach = coordinate.unsqueeze(1) + self.padding[axis] - offsets  # of outputs, times the stride
            output = torch.div(reach, self.stride[axis], rounding_mode="floor")
            size = gradient.shape[2 + axis]
            fits = (output * self.stride[axis] == reach) & (output >= 0) & (output < size)
            shape = [output.shape[0], *(1 for _ in range(dimensions))]
            shape[1 + axis] = output.shape[1]
            inside = inside & fits.reshape(shape)
            indices.append(output.clamp(0, size - 1).reshape(shape))
        arriving = gradient.movedim(1, -1)[tuple(indices)] * inside.unsqueeze(-1)
        kernels = self.kernel(weights).movedim(0, -1)[channels]
        return (arriving * kernels).flatten(1).sum(dim=1)

    def kernel(self, weights: Tensor) -> Tensor:
        """Return the weights as the native operator takes them."""
        if weights.dim() > 2:
            return weights  # they are that already
        if self.leading or self.trailing:
            weights = functional.pad(weights, (self.leading, self.trailing))
        return weights.reshape(weights.shape[0], self.channels, *self.kernel_size)

    def output_size(self, x: Tensor) -> tuple[int, ...]:
        """Return the extent of the result's positions."""
        return tuple(
            (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for size, padding, dilation, kernel, stride in zip(
                x.shape[2:], self.padding, self.dilation, self.kernel_size, self.stride, strict=True
            )
        )

    def unfold(self, x: Tensor) -> Tensor:
        """Return the tile's input vectors `[B, I, L]` of a feature map."""
        dimensions = len(self.kernel_size)
        if dimensions < 3 and x.requires_grad and torch.is_grad_enabled():
            patches = self._unfold_with_gradient(x)
        else:
            windows = self._windows(x)
            positions = range(2, 2 + dimensions)
            kernel = range(2 + dimensions, 2 + 2 * dimensions)
            elements = self.channels * math.prod(self.kernel_size)
            patches = windows.permute(0, 1, *kernel, *positions).reshape(x.shape[0], elements, -1)
        if self.leading or self.trailing:
            patches = patches[:, self.leading : patches.shape[1] - self.trailing]
        if self.bias_input is not None:
            column = self.bias_input.expand(patches.shape[0], 1, patches.shape[2])
            patches = torch.cat([patches, column], dim=1)
        return patches

    @property
    def _margins(self) -> list[int]:
        """The padding as `functional.pad` takes it."""
        return [size for size in reversed(self.padding) for _ in range(2)]

    def _windows(self, x: Tensor) -> Tensor:
        """Return a view `[B, C, positions..., kernel...]` of the padded map."""
        windows = functional.pad(x, self._margins)
        for axis in range(len(self.kernel_size)):
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            windows = windows.unfold(2 + axis, reach, self.stride[axis])[..., :: self.dilation[axis]]
        return windows

    def _unfold_with_gradient(self, x: Tensor) -> Tensor:
        """The built-in operator: slower forward, but its backward pass is quick."""
        if len(self.kernel_size) == 2:
            return functional.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        one_row = x.unsqueeze(2)
        return functional.unfold(
            one_row,
            (1, *self.kernel_size),
            dilation=(1, *self.dilation),
            padding=(0, *self.padding),
            stride=(1, *self.stride),
        )


def with_channels_first(x: Tensor) -> Tensor:
    """Return a view `[B, C, H, W]` of maps `[B, H, W, C]`; this is quicker than `movedim`."""
    return x.permute(0, 3, 1, 2)


def with_channels_last(x: Tensor) -> Tensor:
    """Return a view `[B, H, W, C]` of maps `[B, C, H, W]`."""
    return x.permute(0, 2, 3, 1)


def in_rows(x: Tensor) -> Tensor:
    """Return a map `[B, C, H, W]` with channels last, `[B, H, W, C]`, in contiguous memory."""
    rows = with_channels_last(x)
    _, height, width, channels = rows.shape
    if rows.stride() == (height * width * channels, width * channels, channels, 1):
        return rows
    return rows.reshape(-1).view(rows.shape)  # gives dimensions of size 1 the strides of rows, too


@dataclass(frozen=True)
class ChannelsLastProduct:
    """A convolution between maps `[B, H, W, C]` and `[B, H, W, O]`: vectors lie in rows.

    For the native operator they are maps in torch's `channels_last` memory format, which it is quicker with.
    An option of `ConvProduct` would be a case in each of its methods that are called here.

    Attributes:
        first: the same with channels first.
    """

    first: ConvProduct

    vector_dim = -1

    def __call__(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return `[B, H, W, O]`."""
        return with_channels_last(self.first(with_channels_first(x), weights))

    def gradients(
        self, gradient: Tensor, x: Tensor, weights: Tensor, *, of_inputs: bool, of_weights: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """See the protocol."""
        d_x, d_weights = self.first.gradients(
            with_channels_first(gradient),
            with_channels_first(x),
            weights,
            of_inputs=of_inputs,
            of_weights=of_weights,
        )
        return None if d_x is None else with_channels_last(d_x), d_weights

    def gradient_at(self, gradient: Tensor, weights: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the gradient `[P]` at chosen inputs, given by their indices in x, and at no others."""
        sample, row, column, channel = positions
        return self.first.gradient_at(with_channels_first(gradient), weights, (sample, channel, row, column))

    def per_output(self, values_O: Tensor) -> Tensor:
        """Return the values as they are: outputs come last."""
        return values_O

    def sum_inputs(self, x: Tensor) -> Tensor:
        """Return `[B, H, W, 1]`: the sums over the patches."""
        return with_channels_last(self.first.sum_inputs(with_channels_first(x)))

    def largest_inputs(self, x: Tensor) -> Tensor:
        """Return `[B, H, W, 1]`: the absolute maxima over the patches, of all channels touched."""
        return with_channels_last(self.first.largest_inputs(with_channels_first(x)))

    def vectors(self, x: Tensor, positions: tuple[Tensor, ...]) -> Tensor:
        """Return the chosen patches, `[N, I]`."""
        return self.first.patches_at(with_channels_first(x), positions)


LayerProduct = DenseProduct | ConvProduct | ChannelsLastProduct  # of a tile with its layer's inputs

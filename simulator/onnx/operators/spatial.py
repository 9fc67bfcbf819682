"""Windows that move over space: pooling, and convolutions whose weights are computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from simulator.onnx.operators.registry import operator

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def pad_space(x: Tensor, pads: list[int] | tuple[int, ...], value: float = 0.0) -> Tensor:
    """Pad the axes after batch and channel; `pads` has all begins, then all ends."""
    dims = len(pads) // 2
    flat = [amount for axis in reversed(range(dims)) for amount in (pads[axis], pads[axis + dims])]
    return F.pad(x, flat, value=value)


def same_pads(
    x: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...], mode: str
) -> list[int]:
    """Return pads that give ceil(size / stride) outputs; SAME_UPPER puts an odd one at the end."""
    begins, ends = [], []
    for size, width, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        reach = (math.ceil(size / stride) - 1) * stride + (width - 1) * dilation + 1
        missing = max(reach - size, 0)
        small, large = missing // 2, missing - missing // 2
        begins.append(small if mode == "SAME_UPPER" else large)
        ends.append(large if mode == "SAME_UPPER" else small)
    return begins + ends


def pad_same(
    x: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...], mode: str
) -> Tensor:
    """Pad with zeros so that a window that moves over x gives ceil(size / stride) outputs."""
    return pad_space(x, same_pads(x, kernel, strides, dilations, mode))


def _window(
    x: Tensor,
    kernel: list[int],
    *,
    strides: list[int] | None,
    dilations: list[int] | None,
    pads: list[int] | None,
    auto_pad: str,
) -> tuple[list[int], list[int], list[int]]:
    """Return strides, dilations and pads in full."""
    dims = len(kernel)
    strides = strides or [1] * dims
    dilations = dilations or [1] * dims
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        pads = same_pads(x, tuple(kernel), tuple(strides), tuple(dilations), auto_pad)
    return strides, dilations, [0] * 2 * dims if pads is None or auto_pad == "VALID" else pads


def _pads_for_ceiling(
    x: Tensor, kernel: list[int], strides: list[int], dilations: list[int], pads: list[int]
) -> list[int]:
    """Return how much more to pad at each end for the last, partial window to count.

    A window that would start in the padding at the end is not counted.
    """
    more = []
    for axis, (width, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        begin, end = pads[axis], pads[axis + len(kernel)]
        size = x.shape[2 + axis]
        span = (width - 1) * dilation + 1
        steps = math.ceil((size + begin + end - span) / stride)
        if steps * stride >= size + begin:
            steps -= 1
        more.append(max(steps * stride + span - size - begin - end, 0))
    return more


@operator("MaxPool", ignored=("storage_order",))
def max_pool(
    x: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    pads: list[int] | None = None,
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    ceil_mode: int = 0,
) -> Tensor:
    """Return the largest number of each window."""
    dims = len(kernel_shape)
    strides, dilations, pads = _window(
        x, kernel_shape, strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad
    )
    if ceil_mode:
        more = _pads_for_ceiling(x, kernel_shape, strides, dilations, pads)
        pads = pads[:dims] + [end + extra for end, extra in zip(pads[dims:], more, strict=True)]
    lowest = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
    symmetric = pads[:dims] == pads[dims:] and all(
        2 * pad <= width for pad, width in zip(pads, kernel_shape, strict=False)
    )
    if not symmetric:
        x, pads = pad_space(x, pads, lowest), [0] * 2 * dims
    return _MAX_POOLS[dims](x, kernel_shape, strides, pads[:dims], dilations)


@operator("AveragePool")
def average_pool(
    x: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    pads: list[int] | None = None,
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    ceil_mode: int = 0,
    count_include_pad: int = 0,
) -> Tensor:
    """Return the mean of each window; padding counts only if `count_include_pad`."""
    dims = len(kernel_shape)
    strides, dilations, pads = _window(
        x, kernel_shape, strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad
    )
    if not any(pads) and not ceil_mode and set(dilations) == {1}:
        return {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[dims](x, kernel_shape, strides)
    counted = x.new_ones((1, 1, *x.shape[2:]))
    counted = pad_space(counted, pads, float(bool(count_include_pad)))
    padded = pad_space(x, pads)
    if ceil_mode:
        more = [0] * dims + _pads_for_ceiling(x, kernel_shape, strides, dilations, pads)
        counted, padded = pad_space(counted, more), pad_space(padded, more)
    ones = x.new_ones((1, 1, *kernel_shape))
    convolve = _CONVOLUTIONS[dims]
    channels = padded.reshape(-1, 1, *padded.shape[2:])
    sums = convolve(channels, ones, None, strides, 0, dilations)
    counts = convolve(counted, ones, None, strides, 0, dilations)
    return (sums / counts).reshape(*x.shape[:2], *sums.shape[2:])


@operator("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """Return the mean of each channel, with axes of size 1."""
    return x.mean(list(range(2, x.dim())), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """Return the largest number of each channel, with axes of size 1."""
    return x.amax(list(range(2, x.dim())), keepdim=True)


@operator("Conv", ignored=("kernel_shape",))
def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    pads: list[int] | None = None,
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    group: int = 1,
) -> Tensor:
    """Convolve with weights that are not constant."""
    kernel = list(weight.shape[2:])
    strides, dilations, pads = _window(
        x, kernel, strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad
    )
    return _CONVOLUTIONS[len(kernel)](pad_space(x, pads), weight, bias, strides, 0, dilations, group)


@operator("ConvTranspose", ignored=("kernel_shape",))
def transposed_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    pads: list[int] | None = None,
    strides: list[int] | None = None,
    dilations: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    group: int = 1,
) -> Tensor:
    """Convolve backwards; pads cut the result, and may be given by the shape that it shall have."""
    kernel = list(weight.shape[2:])
    dims = len(kernel)
    strides = strides or [1] * dims
    dilations = dilations or [1] * dims
    extra = output_padding or [0] * dims
    full = _TRANSPOSED[dims](x, weight, None, strides, 0, 0, group, dilations)
    full = pad_space(full, [0] * dims + extra)
    if output_shape is not None or auto_pad.startswith("SAME"):
        target = output_shape or [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
        cuts = [size - wanted for size, wanted in zip(full.shape[2:], target[-dims:], strict=True)]
        small, large = [cut // 2 for cut in cuts], [cut - cut // 2 for cut in cuts]
        pads = small + large if auto_pad == "SAME_UPPER" else large + small
    result = pad_space(full, [-cut for cut in pads or [0] * 2 * dims])
    return result if bias is None else result + bias.reshape(-1, *[1] * dims)

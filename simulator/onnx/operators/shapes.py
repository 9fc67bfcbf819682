"""Operators that make tensors, or give their numbers another shape, order or type."""

from __future__ import annotations

import math

import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from simulator.onnx.operators.registry import Number, operator

TORCH_TYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float32,
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
}


@operator("Identity")
def identity(x: Tensor) -> Tensor:
    """Return x."""
    return x


@operator("Cast", ignored=("saturate", "round_mode"))
def cast(x: Tensor, *, to: int) -> Tensor:
    """Convert to another element type; every floating-point type is float32 here."""
    return x.to(TORCH_TYPES[to])


@operator("CastLike", ignored=("saturate", "round_mode"))
def cast_like(x: Tensor, like: Tensor) -> Tensor:
    """Convert to the element type of another tensor."""
    return x.to(like.dtype)


@operator("Shape")
def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """Return the sizes of the axes from `start` to `end`."""
    return torch.tensor(x.shape[start:end], dtype=torch.int64, device=x.device)


@operator("Size")
def size(x: Tensor) -> Tensor:
    """Return how many numbers there are."""
    return torch.tensor(x.numel(), device=x.device)


@operator("Reshape", numbers=(1,))
def reshape(x: Tensor, target: list[int], *, allowzero: int = 0) -> Tensor:
    """Give another shape; 0 keeps the size of that axis, -1 takes what is left."""
    if not allowzero:
        target = [x.shape[axis] if dim == 0 else dim for axis, dim in enumerate(target)]
    return torch.reshape(x, target)


@operator("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Make a matrix of the axes before and from `axis` on."""
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Transpose")
def transpose(x: Tensor, *, perm: list[int] | None = None) -> Tensor:
    """Permute the axes, reverse them without `perm`."""
    return torch.permute(x, perm or list(reversed(range(x.dim()))))


@operator("Squeeze", until=12)
def squeeze_attribute(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    """Drop axes of size 1, all of them without `axes`."""
    return torch.squeeze(x) if axes is None else torch.squeeze(x, axes)


@operator("Squeeze", since=13, numbers=(1,))
def squeeze(x: Tensor, axes: list[int] | None = None) -> Tensor:
    """Drop axes of size 1, all of them without `axes`."""
    return squeeze_attribute(x, axes=axes)


@operator("Unsqueeze", until=12)
def unsqueeze_attribute(x: Tensor, *, axes: list[int]) -> Tensor:
    """Add axes of size 1 at these positions of the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("Unsqueeze", since=13, numbers=(1,))
def unsqueeze(x: Tensor, axes: list[int]) -> Tensor:
    """Add axes of size 1 at these positions of the result."""
    return unsqueeze_attribute(x, axes=axes)


@operator("Concat")
def concatenate(*tensors: Tensor, axis: int) -> Tensor:
    """Put tensors one after the other along an axis."""
    return torch.cat(tensors, axis)


@operator("Split", until=12)
def split_attribute(
    x: Tensor, *, outputs: int, axis: int = 0, split: list[int] | None = None
) -> tuple[Tensor, ...]:
    """Cut along an axis into parts of these sizes, or into equal parts."""
    return split_input(x, split, outputs=outputs, axis=axis)


@operator("Split", since=13, numbers=(1,), ignored=("num_outputs",))
def split_input(
    x: Tensor, sizes: list[int] | None = None, *, outputs: int, axis: int = 0
) -> tuple[Tensor, ...]:
    """Cut along an axis into parts of these sizes, or into equal parts, the last one smaller."""
    if sizes is None:
        part = -(-x.shape[axis] // outputs)
        sizes = [part] * (outputs - 1) + [x.shape[axis] - part * (outputs - 1)]
    return torch.split(x, sizes, axis)


@operator("Slice", until=9)
def slice_attribute(
    x: Tensor, *, starts: list[int], ends: list[int], axes: list[int] | None = None
) -> Tensor:
    """Cut a range out of each axis."""
    return slice_input(x, starts, ends, axes)


@operator("Slice", since=10, numbers=(1, 2, 3, 4))
def slice_input(
    x: Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None = None,
    steps: list[int] | None = None,
) -> Tensor:
    """Cut a range with a step, possibly backwards, out of each axis."""
    chosen = axes if axes is not None else list(range(len(starts)))
    for start, end, axis, step in zip(starts, ends, chosen, steps or [1] * len(starts), strict=True):
        length = x.shape[axis]
        # A backward range ends before 0 when it says so with a very negative end.
        last = None if step < 0 and end < -length else end
        begin, stop, stride = slice(start, last, step).indices(length)
        if stride > 0:
            index = [slice(None)] * (axis % x.dim()) + [slice(begin, stop, stride)]
            x = x[tuple(index)]
        else:
            positions = torch.arange(begin, stop, stride, device=x.device) if begin > stop else None
            x = x.narrow(axis, 0, 0) if positions is None else x.index_select(axis, positions)
    return x


@operator("Expand", numbers=(1,))
def expand(x: Tensor, target: list[int]) -> Tensor:
    """Repeat axes of size 1 as numpy's broadcasting with a tensor of the target's shape would."""
    missing = len(target) - x.dim()
    sizes = [1] * -missing + list(target)
    return x.expand(
        [size if dim == 1 else dim for dim, size in zip([1] * missing + list(x.shape), sizes, strict=True)]
    )


@operator("Tile", numbers=(1,))
def tile(x: Tensor, repeats: list[int]) -> Tensor:
    """Repeat the whole tensor along each axis."""
    return x.repeat(repeats)


@operator("ConstantOfShape")
def constant_of_shape(target: Tensor, *, value: Number = 0.0, dtype: str = "float32") -> Tensor:
    """Return a tensor of one number."""
    return torch.full(target.tolist(), value, dtype=getattr(torch, dtype), device=target.device)


@operator("Range", ignored=("stash_type",))
def arange(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """Count from `start` to before `limit`."""
    numbers = (start.item(), limit.item(), delta.item())
    return torch.arange(*numbers, dtype=start.dtype, device=start.device)


@operator("EyeLike")
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    """Return ones on the k-th diagonal of a matrix of the shape of x."""
    ones = torch.ones_like(x, dtype=x.dtype if dtype is None else TORCH_TYPES[dtype])
    return torch.tril(torch.triu(ones, k), k)


@operator("Trilu", numbers=(1,))
def triangle(x: Tensor, diagonal: list[int] | None = None, *, upper: int = 1) -> Tensor:
    """Keep the upper or the lower triangle of the last two axes."""
    offset = diagonal[0] if diagonal else 0
    return torch.triu(x, offset) if upper else torch.tril(x, offset)


@operator("OneHot", numbers=(1,))
def one_hot(indices: Tensor, depth: list[int], values: Tensor, *, axis: int = -1) -> Tensor:
    """Return `values[1]` at the index along a new axis, `values[0]` elsewhere."""
    count = int(depth[0])
    axis %= indices.dim() + 1
    wrapped = torch.remainder(indices.long(), count).unsqueeze(axis)
    inside = ((indices >= -count) & (indices < count)).unsqueeze(axis)
    sizes = [1] * (indices.dim() + 1)
    sizes[axis] = count
    hot = (torch.arange(count, device=indices.device).reshape(sizes) == wrapped) & inside
    return torch.where(hot, values[1], values[0])


@operator("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move channels into blocks of space."""
    n, c, height, width = x.shape
    b = blocksize
    if mode == "CRD":
        blocks = x.reshape(n, c // b**2, b, b, height, width).permute(0, 1, 4, 2, 5, 3)
    else:
        blocks = x.reshape(n, b, b, c // b**2, height, width).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // b**2, height * b, width * b)


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Move blocks of space into channels."""
    n, c, height, width = x.shape
    b = blocksize
    blocks = x.reshape(n, c, height // b, b, width // b, b)
    order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    return blocks.permute(order).reshape(n, c * b**2, height // b, width // b)


@operator("Pad", until=10)
def pad_attribute(x: Tensor, *, pads: list[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Add numbers before and after each axis."""
    return _pad(x, pads, list(range(x.dim())), mode, value)


@operator("Pad", since=11, numbers=(1, 2, 3))
def pad(
    x: Tensor,
    pads: list[int],
    value: list[Number] | None = None,
    axes: list[int] | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    """Add numbers before and after each of the axes: a constant, or the tensor's own."""
    chosen = list(range(x.dim())) if axes is None else axes
    return _pad(x, pads, chosen, mode, value[0] if value else 0.0)


def _pad(x: Tensor, pads: list[int], axes: list[int], mode: str, value: Number) -> Tensor:
    amounts = [(0, 0)] * x.dim()
    for position, axis in enumerate(axes):
        amounts[axis] = (pads[position], pads[position + len(axes)])
    if mode == "constant":
        return F.pad(x, [amount for pair in reversed(amounts) for amount in pair], value=value)
    for axis, (before, after) in enumerate(amounts):
        if before or after:
            x = x.index_select(axis, _positions(x.shape[axis], before, after, mode).to(x.device))
    return x


def _positions(length: int, before: int, after: int, mode: str) -> Tensor:
    """Return which of an axis's positions stand where after padding."""
    positions = torch.arange(-before, length + after)
    if mode == "edge":
        return positions.clamp(0, length - 1)
    if mode == "wrap":
        return positions % length
    period = max(2 * (length - 1), 1)  # reflect: 0 1 2 1 0 1 2 ...
    folded = positions % period
    return torch.minimum(folded, period - folded) if length > 1 else torch.zeros_like(positions)

"""Operators that pick, place, order and count numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulator.onnx.operators.registry import operator

_SCATTER = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _wrapped(indices: Tensor, length: int) -> Tensor:
    return torch.where(indices < 0, indices + length, indices).long()


@operator("Gather")
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Pick slices of an axis; the indices' axes take its place."""
    axis %= x.dim()
    picked = x.index_select(axis, _wrapped(indices, x.shape[axis]).reshape(-1))
    return picked.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


@operator("GatherElements")
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Pick single numbers along an axis."""
    return torch.gather(x, axis, _wrapped(indices, x.shape[axis]))


@operator("GatherND")
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Pick slices by tuples of indices, which stand along the last axis of `indices`."""
    batch = math.prod(x.shape[:batch_dims])
    inner = x.reshape(batch, *x.shape[batch_dims:])
    tuples = indices.reshape(batch, -1, indices.shape[-1])
    rows = torch.arange(batch, device=x.device)[:, None].expand(tuples.shape[:2])
    columns = [
        _wrapped(column, size) for column, size in zip(tuples.unbind(-1), inner.shape[1:], strict=False)
    ]
    return inner[(rows, *columns)].reshape(indices.shape[:-1] + x.shape[batch_dims + indices.shape[-1] :])


@operator("ScatterElements")
def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    """Put single numbers in place along an axis."""
    positions = _wrapped(indices, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, positions, updates)
    return x.scatter_reduce(axis, positions, updates, _SCATTER[reduction])


@operator("ScatterND")
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """Put slices in place by tuples of indices."""
    depth = indices.shape[-1]
    inner = x.shape[depth:]
    flat_index = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
    for column, length in zip(indices.unbind(-1), x.shape, strict=False):
        flat_index = flat_index * length + _wrapped(column, length)
    width = math.prod(inner)
    rows = x.reshape(-1, width)
    index = flat_index.reshape(-1, 1).expand(-1, width)
    return scatter_elements(rows, index, updates.reshape(-1, width), reduction=reduction).reshape(x.shape)


@operator("ArgMax")
def arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Return where the largest number along an axis is, the first or the last of equals."""
    if not select_last_index:
        return torch.argmax(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - torch.argmax(x.flip(axis), axis, bool(keepdims))


@operator("ArgMin")
def arg_min(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Return where the smallest number along an axis is, the first or the last of equals."""
    if not select_last_index:
        return torch.argmin(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - torch.argmin(x.flip(axis), axis, bool(keepdims))


@operator("TopK", since=10, numbers=(1,), ignored=("sorted",))
def top_k(x: Tensor, count: list[int], *, axis: int = -1, largest: int = 1) -> tuple[Tensor, Tensor]:
    """Return the largest or smallest numbers along an axis and where they are, the first of equals first."""
    order = torch.sort(x, stable=True, dim=axis, descending=bool(largest))
    return order.values.narrow(axis, 0, count[0]), order.indices.narrow(axis, 0, count[0])


@operator("TopK", until=9)
def top_k_attribute(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """Return the largest numbers along an axis as before opset 10, with their number in an attribute."""
    return top_k(x, [k], axis=axis)


@operator("CumSum", numbers=(1,))
def cumulative_sum(x: Tensor, axis: list[int], *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Return sums of all numbers so far, without the number itself if `exclusive`."""
    along = axis[0]
    ordered = x.flip(along) if reverse else x
    sums = torch.cumsum(ordered, along, dtype=x.dtype)
    if exclusive:
        sums = sums - ordered
    return sums.flip(along) if reverse else sums


@operator("NonZero")
def non_zero(x: Tensor) -> Tensor:
    """Return the positions of numbers other than zero, one column each."""
    return torch.nonzero(x).T

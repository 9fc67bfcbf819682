"""Reductions over axes, which are an attribute in old opsets and an input in new ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from simulator.onnx.operators.registry import operator


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def _largest(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if x.dtype is torch.bool:
        return x.any(axes, keep)
    return x.amax(axes, keep) if x.numel() else x.sum(axes, keep, dtype=x.dtype) - math.inf


def _smallest(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    if x.dtype is torch.bool:
        return x.all(axes, keep)
    return x.amin(axes, keep) if x.numel() else x.sum(axes, keep, dtype=x.dtype) + math.inf


_REDUCTIONS: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep, dtype=x.dtype),
    "ReduceL2": lambda x, axes, keep: x.square().sum(axes, keep, dtype=x.dtype).sqrt(),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype).log(),
    "ReduceLogSumExp": lambda x, axes, keep: x.logsumexp(axes, keep),
    "ReduceMax": _largest,
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep),
    "ReduceMin": _smallest,
    "ReduceProd": _product,
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep, dtype=x.dtype),
}


def reduce_over_attribute(
    x: Tensor, *, kind: str, axes: list[int] | None = None, keepdims: int = 1
) -> Tensor:
    """Reduce over the axes of an attribute, over all axes if there are none.

    Args:
        x: what is reduced.
        kind: the operator's name.
        axes: which axes, negative ones from the end.
        keepdims: whether reduced axes stay, with size 1.
    """
    if x.dim() == 0:
        return reduce_over_attribute(x.reshape(1), kind=kind, axes=[0], keepdims=0)
    chosen = [axis % x.dim() for axis in axes or range(x.dim())]
    return _REDUCTIONS[kind](x, chosen, bool(keepdims))


def reduce_over_input(
    x: Tensor, axes: list[int] | None = None, *, kind: str, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    """Reduce over the axes of an input; without axes over all, or over none if `noop_with_empty_axes`."""
    if not axes and noop_with_empty_axes:
        return reduce_over_attribute(x.unsqueeze(-1), kind=kind, axes=[x.dim()], keepdims=0)
    return reduce_over_attribute(x, kind=kind, axes=axes, keepdims=keepdims)


for _name in _REDUCTIONS:
    _axes_are_an_input_since = 13 if _name == "ReduceSum" else 18
    operator(_name, until=_axes_are_an_input_since - 1, fixed={"kind": _name})(reduce_over_attribute)
    operator(_name, since=_axes_are_an_input_since, numbers=(1,), fixed={"kind": _name})(reduce_over_input)

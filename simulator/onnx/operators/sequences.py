"""Sequences of tensors, which exporters use to cut tensors apart and take single parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simulator.onnx.operators.registry import operator


@operator("SequenceConstruct")
def make_sequence(*tensors: Tensor) -> list[Tensor]:
    """Return the tensors as a sequence."""
    return list(tensors)


@operator("SequenceAt", numbers=(1,))
def take_from_sequence(sequence: Sequence[Tensor], position: list[int]) -> Tensor:
    """Return one tensor of a sequence."""
    return sequence[position[0]]


@operator("SplitToSequence")
def split_to_sequence(
    x: Tensor, sizes: Tensor | None = None, *, axis: int = 0, keepdims: int = 1
) -> list[Tensor]:
    """Cut along an axis: into parts of one size, of several sizes, or into single slices."""
    if sizes is None:
        return list(torch.tensor_split(x, x.shape[axis], axis) if keepdims else x.unbind(axis))
    if sizes.dim() == 0:
        ends = list(range(int(sizes), x.shape[axis], int(sizes)))
    else:
        ends = sizes.cumsum(0).tolist()[:-1]
    return list(torch.tensor_split(x, ends, axis))


@operator("ConcatFromSequence")
def join_sequence(sequence: Sequence[Tensor], *, axis: int, new_axis: int = 0) -> Tensor:
    """Put the tensors of a sequence together along an axis of theirs, or along a new one."""
    return torch.stack(list(sequence), axis) if new_axis else torch.cat(list(sequence), axis)

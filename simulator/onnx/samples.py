"""Random inputs that a model can take, to compare its computations with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from simulator.onnx.graph import Graph, ValueType
from simulator.onnx.supported import VIEWS
from simulator.rng import Purpose, generator

_UNBOUNDED_INDEX = 2  # token ids that any table has


def index_limits(graph: Graph) -> dict[str, int]:
    """Return, for each input that picks rows of a constant table, the number of its rows."""
    return {name: limit for name in graph.inputs if (limit := _rows_of_tables(graph, name, 0)) is not None}


def _rows_of_tables(graph: Graph, name: str, depth: int) -> int | None:
    limits: list[int | None] = []
    for node in graph.consumers.get(name, []):
        table = graph.constants.get(node.inputs[0])
        if node.op == "Gather" and node.input(1) == name and table is not None:
            limits.append(table.shape[node.attributes.get("axis", 0)])
        elif node.op in VIEWS and depth < 4 and node.inputs[0] == name:
            limits.append(_rows_of_tables(graph, node.outputs[0], depth + 1))
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def random_inputs(
    types: Mapping[str, ValueType],
    *,
    limits: Mapping[str, int],
    batch: int,
    other_size: int,
    seed: int,
    part: int = 0,
) -> tuple[Tensor, ...]:
    """Return one random tensor for each input: normal, or indices that are in range.

    Args:
        types: what is known of each input, in order.
        limits: number of rows for inputs that are indices.
        batch: size of the first dimension wherever it is open.
        other_size: size of every other open dimension.
        seed: the seed of the stream.
        part: tells several draws of one seed apart.
    """
    stream = generator(seed, Purpose.VERIFICATION, part)
    tensors = []
    for name, kind in types.items():
        shape = _sizes(kind.shape or (), batch, other_size)
        if kind.dtype == "float32":
            tensors.append(torch.randn(shape, generator=stream))
        else:
            below = 2 if kind.dtype == "bool" else limits.get(name, _UNBOUNDED_INDEX)
            numbers = torch.randint(0, below, shape, generator=stream)
            tensors.append(numbers.to(getattr(torch, kind.dtype)))
    return tuple(tensors)


def _sizes(shape: Sequence[int | str | None], batch: int, other_size: int) -> list[int]:
    return [
        dim if isinstance(dim, int) else batch if axis == 0 else other_size for axis, dim in enumerate(shape)
    ]


def as_arrays(tensors: Sequence[Tensor]) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """Return tensors as numpy arrays."""
    return [tensor.numpy() for tensor in tensors]

"""Random inputs to compare computations with, in the ranges that a model's graph implies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simulator.onnx.graph import Graph, Node, ValueType
from simulator.onnx.supported import VIEWS
from simulator.rng import Purpose, generator

_DEPTH = 6  # nodes between an input and the table that it picks rows of
_USUAL_SIZES = (16, 32, 64, 224, 8, 28, 96, 128, 160, 192, 256, 299, 320, 384, 416, 448, 512, 640, 4, 2, 1)
_LARGEST_ODD_SIZE = 65
_MOST_ELEMENTS = 1 << 24  # of one input
_NARROW = {"uint8": (0, 255), "int8": (-128, 127)}
_INDEX_POSITIONS = {"Gather": 1, "GatherElements": 1, "OneHot": 0}


@dataclass(frozen=True)
class Draws:
    """How to draw a model's inputs.

    Attributes:
        types: what is known of each input, in order.
        limits: number of rows for inputs that are indices.
    """

    types: Mapping[str, ValueType]
    limits: Mapping[str, int]

    @classmethod
    def of(cls, graph: Graph) -> Draws:
        """Return what a graph says of its inputs."""
        limits = {name: limit for name in graph.inputs if (limit := _rows(graph, name, 0)) is not None}
        return cls({name: graph.types[name] for name in graph.inputs}, limits)

    def inputs(self, *, batch: int, other_size: int, seed: int, part: int = 0) -> tuple[Tensor, ...]:
        """Return one random tensor for each input: normal, or whole numbers in the range that is known.

        Whole numbers without a known range are lengths, if there is one a sample, or else a mask that keeps
        at least the first position.

        Args:
            batch: size of the first dimension wherever it is open.
            other_size: size of every other open dimension.
            seed: the seed of the stream.
            part: distinguishes several draws of one seed.
        """
        stream = generator(seed, Purpose.VERIFICATION, part)
        shapes = {name: _sizes(kind.shape or (), batch, other_size) for name, kind in self.types.items()}
        longest = max((shape[1] for shape in shapes.values() if len(shape) > 1), default=other_size)
        return tuple(
            self._input(name, kind.dtype, shapes[name], longest, stream) for name, kind in self.types.items()
        )

    def _input(
        self, name: str, dtype: str, shape: list[int], longest: int, stream: torch.Generator
    ) -> Tensor:
        if dtype == "float32":
            return torch.randn(shape, generator=stream)
        if name in self.limits:
            numbers = torch.randint(0, self.limits[name], shape, generator=stream)
        elif dtype in _NARROW:
            low, high = _NARROW[dtype]
            numbers = torch.randint(low, high + 1, shape, generator=stream)
        elif dtype != "bool" and (len(shape) < 2 or "len" in name.lower()):
            numbers = torch.randint((longest + 1) // 2, longest + 1, shape, generator=stream)
        else:
            numbers = torch.randint(0, 2, shape, generator=stream)
            if len(shape) > 1 and numbers.numel():
                numbers[:, 0] = 1  # a mask that leaves nothing leaves nothing to compare
        return numbers.to(getattr(torch, dtype))


def _rows(graph: Graph, name: str, depth: int) -> int | None:
    """Return how many rows the table has that an input picks from, None if it picks from none."""
    limits = [_rows_at(graph, node, name, depth) for node in graph.consumers.get(name, [])]
    known = [limit for limit in limits if limit is not None and limit > 0]
    return min(known) if known else None


def _rows_at(graph: Graph, node: Node, name: str, depth: int) -> int | None:
    position = _INDEX_POSITIONS.get(node.op)
    if node.op == "OneHot" and node.inputs[0] == name:
        constant = graph.constants.get(node.inputs[1])
        return None if constant is None else int(constant.reshape(-1)[0])
    if position is not None and node.input(position) == name:
        shape = graph.shape(node.inputs[0]) or ()
        size = shape[node.attributes.get("axis", 0)] if shape else None
        return size if isinstance(size, int) else None
    if depth == _DEPTH:
        return None
    if node.op in VIEWS and node.inputs[0] == name:
        return _rows(graph, node.outputs[0], depth + 1)
    if node.op == "Add" and len(node.inputs) == 2:
        other = graph.constants.get(node.inputs[1] if node.inputs[0] == name else node.inputs[0])
        limit = _rows(graph, node.outputs[0], depth + 1)
        return None if limit is None or other is None or not other.size else limit - int(other.max())
    return None


def sizes_to_try(graph: Graph) -> Iterator[int]:
    """Yield sizes for dimensions that the file leaves open, the likeliest to fit first.

    At first they are multiples of what the network's strides amount to, so that what is made smaller and
    larger again fits together, and one of them is as large as what one output sees of the input.
    """
    stride, field = _stride_and_field(graph)
    fixed = math.prod(
        max((dim for dim in kind.shape or () if isinstance(dim, int)), default=1)
        for kind in (graph.types[name] for name in graph.inputs[:1])
    )
    open_dims = max(
        (
            sum(not isinstance(dim, int) for dim in (graph.types[name].shape or ())[1:])
            for name in graph.inputs
        ),
        default=0,
    )
    seen: set[int] = set()
    likely = [*_USUAL_SIZES[:3], min(field, 4096), _USUAL_SIZES[3], min(2 * field, 8192), *_USUAL_SIZES[4:]]
    multiples = [-(-size // stride) * stride for size in likely]
    for size in (*multiples, *range(1, _LARGEST_ODD_SIZE)):
        if size not in seen and fixed * size**open_dims <= _MOST_ELEMENTS:
            seen.add(size)
            yield size


def _stride_and_field(graph: Graph) -> tuple[int, int]:
    """Return the largest product of strides on a way through the network, and how far one output sees."""
    reached: dict[str, tuple[float, int]] = dict.fromkeys(graph.inputs, (1.0, 1))
    stride, field = 1.0, 1
    for node in graph.nodes:
        known = [reached[name] for name in node.inputs if name in reached]
        if not known:
            continue
        step, seen = max(one[0] for one in known), max(one[1] for one in known)
        kernel = node.attributes.get("kernel_shape") or _kernel_of(graph, node)
        if kernel and node.op in ("Conv", "MaxPool", "AveragePool"):
            dilations = node.attributes.get("dilations") or [1] * len(kernel)
            seen += int(max((size - 1) * apart for size, apart in zip(kernel, dilations, strict=True)) * step)
            step *= max(node.attributes.get("strides") or [1])
        elif node.op == "ConvTranspose":
            step /= max(node.attributes.get("strides") or [1])
        reached.update(dict.fromkeys(node.outputs, (max(step, 1.0), seen)))
        stride, field = max(stride, step), max(field, seen)
    return min(int(stride), 4096), field


def _kernel_of(graph: Graph, node: Node) -> Sequence[int]:
    weight = graph.constants.get(node.input(1)) if node.op == "Conv" else None
    return () if weight is None else weight.shape[2:]


def _sizes(shape: Sequence[int | str | None], batch: int, other_size: int) -> list[int]:
    return [
        dim if isinstance(dim, int) else batch if axis == 0 else other_size for axis, dim in enumerate(shape)
    ]


def as_arrays(tensors: Sequence[Tensor]) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """Return tensors as numpy arrays."""
    return [tensor.numpy() for tensor in tensors]

"""How many numbers a value has in one sample, where its file says so."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from simulator.onnx.graph import Dim, Graph
from simulator.onnx.supported import VIEWS

_MULTIPLE = re.compile(r"(?:(\d+)\*)?([A-Za-z_][\w.]*)(?:\*(\d+))?")  # shape inference merges dimensions so


class Sizes:
    """Sizes of the values of a graph, for one sample.

    Args:
        graph: the graph.
        batch: the batch size that is baked into the file, None if it is open.
    """

    def __init__(self, graph: Graph, batch: int | None) -> None:
        self._graph = graph
        self._batch = batch
        shapes = [graph.shape(name) or () for name in graph.inputs]
        self._leading = {shape[0] for shape in shapes if shape and isinstance(shape[0], str)}
        # Named sizes of inputs besides the batch, such as the length of a sequence: these are open.
        self._open = {size for shape in shapes for size in shape if isinstance(size, str)} - self._leading

    def of(self, value: str) -> int | None:
        """Return how many numbers a value has, None where a size besides the batch is open."""
        # Views have as many numbers, in another arrangement that may say more.
        found: list[int] = []
        source: str | None = value
        while source is not None:
            size = self._stated(source)
            if self._is_known(source):
                return size
            if size is not None:
                found.append(size)
            node = self._graph.producers.get(source)
            source = node.inputs[0] if node is not None and node.op in VIEWS else None
        return max(found, default=None)

    def _stated(self, value: str) -> int | None:
        shape = self._graph.shape(value)
        if shape is None:
            return None
        if value in self._graph.constants:
            return math.prod(size for size in shape if isinstance(size, int))
        return self.product(shape)

    def product(self, dims: Iterable[Dim]) -> int | None:
        """Return the product of sizes without the batch, None where another one is open."""
        total, others = 1, 0
        for dim in dims:
            if isinstance(dim, int):
                total *= dim
                continue
            others += 1
            found = _MULTIPLE.fullmatch(dim) if dim is not None else None
            if found is not None:
                total *= int(found[1] or 1) * int(found[3] or 1)
                if found[2] in self._open:
                    return None
        if others > 1 or (others and self._batch is not None):
            return None
        return total // (1 if others else self._batch or 1)

    def _is_known(self, value: str) -> bool:
        """Tell whether each size of a value is a number, or made of names that inputs have."""
        shape = self._graph.shape(value)
        if shape is None:
            return False
        names = [_MULTIPLE.fullmatch(size) if size else None for size in shape if not isinstance(size, int)]
        return all(name is not None and name[2] in self._leading | self._open for name in names)

    def last(self, value: str, back: int = 1) -> int | None:
        """Return one of the last sizes of a value, None where it is open."""
        shape = self._graph.shape(value)
        size = shape[-back] if shape is not None and len(shape) >= back else None
        return size if isinstance(size, int) else None

"""What a network computes in digital for one sample: operations and numbers moved, from shapes alone.

A hardware profile prices them. Counts are per operator, and of layers with weights per layer; where a size is
open in the file besides the batch, they are not complete, and say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulator.onnx.graph import Graph, Node
from simulator.onnx.plan import LayerStep, Plan
from simulator.onnx.sizes import Sizes
from simulator.onnx.supported import INDEXING, REDUCTIONS, SEQUENCES, SHAPES

# Operations on each number of the output; of a softmax: largest, difference, exponential, sum, quotient.
_PER_OUTPUT: Final[Mapping[str, int]] = {
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), 5),
    **dict.fromkeys(("BatchNormalization", "QuantizeLinear", "DequantizeLinear"), 2),
    **dict.fromkeys(("LayerNormalization", "GroupNormalization", "InstanceNormalization"), 6),
    **dict.fromkeys(("RMSNormalization", "LpNormalization", "MeanVarianceNormalization", "LRN"), 5),
}
_MOVES: Final = (SHAPES | INDEXING | SEQUENCES) - {"CumSum", "ArgMax", "ArgMin", "TopK"}
# What reads each number of its input once.
_PER_INPUT: Final = REDUCTIONS | {"GlobalAveragePool", "GlobalMaxPool", "CumSum", "ArgMax", "ArgMin", "TopK"}
# Of what only arranges numbers, these copy them; the others are a matter of addresses.
_COPIES: Final = frozenset({"Concat", "Gather", "Embedding", "Pad", "Slice", "Tile"})
Counted = tuple[int | None, int | None]  # multiply-accumulates, other operations


@dataclass
class _Work:
    name: str
    op: str
    nodes: int = 0
    macs: int = 0
    operations: int = 0
    read: int = 0
    written: int = 0
    open: bool = False

    def add(self, counted: Counted, read: int | None, written: int | None) -> None:
        values = [*counted, read, written]
        self.nodes += 1
        self.open |= None in values
        macs, operations, read, written = (value or 0 for value in values)
        self.macs += macs
        self.operations += operations
        self.read += read
        self.written += written


def digital_work(graph: Graph, plan: Plan) -> list[dict[str, Any]]:
    """Return what is computed in digital for one sample, by layer or operator.

    Args:
        graph: the graph after planning.
        plan: what became of it.

    Returns:
        Rows of `{name, op, nodes, macs, operations, read, written, open}`: multiply-accumulates, other
        operations, numbers read (weights included) and written; `open` where a size is not known. Layers
        that can lie on tiles are not among them.
    """
    found: dict[tuple[str, bool], _Work] = {}
    sizes = Sizes(graph, plan.fixed_batch)
    for step in plan.steps:
        layer = step.layer if isinstance(step, LayerStep) else None
        node = step.node
        if layer is not None and (layer.kind == "analog" or layer.module == "Dropout"):
            continue
        if (node.op in _MOVES and node.op not in _COPIES) or not _has_numbers(graph, node):
            continue
        name, op = (node.op, node.op) if layer is None else (layer.name, layer.module)
        written = _total(sizes.of(value) for value in node.outputs if value)
        # What copies reads what it writes; its input may be a whole table.
        read = written if node.op in _COPIES else _total(sizes.of(value) for value in {*node.inputs} - {""})
        work = found.setdefault((name, layer is None), _Work(name, op))
        work.add(_counted(graph, node, sizes), read, written)
    return [vars(work) for work in found.values()]


def _has_numbers(graph: Graph, node: Node) -> bool:
    """Tell whether a node computes with numbers of the network, and not with sizes and places alone."""
    values = [value for value in (*node.inputs, *node.outputs) if value]
    return any((graph.dtype(value) or "float32").startswith("float") for value in values)


def _counted(graph: Graph, node: Node, sizes: Sizes) -> Counted:
    """Return the multiply-accumulates and the other operations of a node."""
    count = _PRODUCTS.get(node.op)
    if count is not None:
        return count(graph, node, sizes), 0
    if node.op in _MOVES:
        return 0, 0
    if node.op in _PER_INPUT:
        return 0, sizes.of(node.inputs[0])
    outputs = sizes.of(node.outputs[0])
    if outputs is None:
        return 0, None
    if node.op in ("MaxPool", "AveragePool"):
        return 0, outputs * math.prod(node.attributes.get("kernel_shape", (1,)))
    return 0, outputs * _PER_OUTPUT.get(node.op, 1)


def _matmul(_: Graph, node: Node, sizes: Sizes) -> int | None:
    return _times(sizes.of(node.outputs[0]), sizes.last(node.inputs[0]))


def _gemm(_: Graph, node: Node, sizes: Sizes) -> int | None:
    back = 2 if node.attributes.get("transA", 0) else 1
    return _times(sizes.of(node.outputs[0]), sizes.last(node.inputs[0], back))


def _attention(_: Graph, node: Node, sizes: Sizes) -> int | None:
    """Scores and their use: each is a product of the queries' size with the number of keys."""
    return _times(2, _times(sizes.of(node.inputs[0]), sizes.last(node.inputs[1], 2)))


def _convolution(graph: Graph, node: Node, sizes: Sizes) -> int | None:
    shape = graph.shape(node.inputs[1])
    known = [size for size in (shape or ()) if isinstance(size, int)]
    if shape is None or len(known) < len(shape):
        return None
    value = node.outputs[0] if node.op == "Conv" else node.inputs[0]
    return _times(sizes.of(value), math.prod(known[1:]))


def _einsum(graph: Graph, node: Node, _: Sizes) -> int | None:
    """Return the product of the sizes of all indices; None where one but the batch is open."""
    terms = str(node.attributes.get("equation", "")).replace(" ", "").partition("->")[0].split(",")
    known: dict[str, int | None] = {}
    for term, value in zip(terms, node.inputs, strict=False):
        shape = graph.shape(value)
        if shape is None or len(shape) != len(term):
            return None
        for index, size in zip(term, shape, strict=True):
            known[index] = size if isinstance(size, int) else known.get(index)
    found = [size for size in known.values() if size is not None]
    return math.prod(found) if len(known) - len(found) <= 1 else None


_PRODUCTS: Final[Mapping[str, Callable[[Graph, Node, Sizes], int | None]]] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Attention": _attention,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Einsum": _einsum,
}


def _times(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one * other


def _total(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size or 0 for size in known)

"""Puts the batch first, where a network has the time first.

Recurrent networks are often written for `[time, batch, features]`. Datasets have their samples first, and so
does everything here: such an input is taken as `[batch, time, ...]` and turned at once.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.onnx.graph import Dim, Graph, Node
from simulator.onnx.supported import ACTIVATIONS, RECURRENT

TURNED = "/batch_first"  # added to the name of an output that the file has with the time first
_DEPTH = 8
# Operators that leave the first two axes of their first input where they are.
_KEEP_AXES = ACTIVATIONS | frozenset(
    [
        "Add",
        "Cast",
        "CastLike",
        "Clip",
        "Div",
        "Dropout",
        "Identity",
        "LayerNormalization",
        "MatMul",
        "Mul",
        "Sub",
    ]
)


def put_batch_first(graph: Graph) -> None:
    """Turn inputs and outputs that have the time first, in place; `turned` says which ones."""
    first = [name for name in graph.inputs if _is_time_first(graph, name)]
    if not first:
        return
    time, batch = (graph.shape(first[0]) or ())[:2]
    for name in first:
        _turn_input(graph, name)
    for place, name in enumerate(graph.outputs):
        shape = graph.shape(name) or ()
        if len(shape) >= 2 and shape[1] == batch and shape[0] == time and time != batch:
            graph.outputs[place] = _turn_output(graph, name)
    graph.index()


def _is_time_first(graph: Graph, name: str) -> bool:
    shape = graph.shape(name)
    if shape is None or len(shape) < 2:
        return False
    return _is_read_time_first(graph, name, 0) or _outputs_say_so(graph, shape)


def _is_read_time_first(graph: Graph, name: str, depth: int) -> bool:
    """Whether a recurrent layer reads a value as it is: ONNX's have the time first."""
    for node in graph.consumers.get(name, []):
        if node.op in RECURRENT and node.inputs[0] == name and not node.attributes.get("layout", 0):
            return True
        looked_up = node.op == "Gather" and node.input(1) == name and node.inputs[0] in graph.constants
        kept = node.op in _KEEP_AXES and node.inputs[0] == name
        if depth < _DEPTH and (looked_up or kept) and _is_read_time_first(graph, node.outputs[0], depth + 1):
            return True
    return False


def _outputs_say_so(graph: Graph, shape: tuple[Dim, ...]) -> bool:
    """Whether all outputs have the name of the second axis of an input first, and no input has."""
    leading = {(graph.shape(name) or (None,))[0] for name in graph.outputs}
    batch = shape[1]
    return isinstance(batch, str) and leading == {batch} and shape[0] != batch


def _turned(shape: tuple[Dim, ...] | None) -> tuple[Dim, ...]:
    dims = list(shape or ())
    dims[0], dims[1] = dims[1], dims[0]
    return tuple(dims)


def _transpose(source: str, result: str, rank: int) -> Node:
    order = [1, 0, *range(2, rank)]
    return Node("Transpose", "", (source,), (result,), {"perm": order}, None)


def _turn_input(graph: Graph, name: str) -> None:
    inner = f"{name}/time_first"
    kind = graph.types[name]
    graph.types[inner] = kind
    graph.types[name] = replace(kind, shape=_turned(kind.shape))
    nodes = [
        replace(node, inputs=tuple(inner if one == name else one for one in node.inputs))
        if name in node.inputs
        else node
        for node in graph.nodes
    ]
    graph.nodes = [_transpose(name, inner, len(kind.shape or ())), *nodes]
    graph.turned.add(name)


def _turn_output(graph: Graph, name: str) -> str:
    turned = name + TURNED
    kind = graph.types[name]
    graph.types[turned] = replace(kind, shape=_turned(kind.shape))
    graph.nodes = [*graph.nodes, _transpose(name, turned, len(kind.shape or ()))]
    graph.turned.add(name)
    return turned

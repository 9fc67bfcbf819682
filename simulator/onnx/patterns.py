"""Finds what exporters of old opsets took apart: layer normalisation and activation functions.

Each pattern starts at one kind of node and follows values that nothing else reads, so that the parts can be
replaced by one node. What does not match to the last number stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from simulator.onnx.graph import Graph, Node

_TOLERANCE = 1e-4


def fuse_patterns(graph: Graph) -> None:
    """Replace the nodes of each pattern by one node, in place."""
    for op, find in _PATTERNS:
        positions = {id(node): position for position, node in enumerate(graph.nodes)}
        replaced: dict[int, Node | None] = {}
        for node in graph.nodes:
            if node.op != op or positions[id(node)] in replaced:
                continue
            found = find(graph, node)
            if found is None:
                continue
            whole, parts = found
            places = sorted(positions[id(part)] for part in parts)
            if not any(place in replaced for place in places):
                replaced |= dict.fromkeys(places) | {places[-1]: whole}
        if replaced:
            graph.replace_nodes(replaced)


Found = tuple[Node, Iterable[Node]]


def _number(graph: Graph, name: str) -> float | None:
    """Return a constant that is one number."""
    array = graph.constants.get(name)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _is(value: float | None, expected: float) -> bool:
    return value is not None and math.isclose(value, expected, rel_tol=_TOLERANCE)


def _other_input(node: Node, name: str) -> str:
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def _constant_operand(graph: Graph, node: Node | None, op: str, name: str) -> float | None:
    """Return the number that a node of this operator combines a value with."""
    if node is None or node.op != op or len(node.inputs) != 2:
        return None
    return _number(graph, _other_input(node, name))


def _last_axis(graph: Graph, node: Node, rank: int | None) -> bool:
    """Whether a reduction runs over the last axis alone and keeps it."""
    axes = node.attributes.get("axes")
    if axes is None and node.input(1) in graph.constants:
        axes = graph.constants[node.input(1)].reshape(-1).tolist()
    return axes in ([-1], [None if rank is None else rank - 1]) and node.attributes.get("keepdims", 1) == 1


def _layer_norm(graph: Graph, mean: Node) -> Found | None:
    """Find (x - mean) / sqrt(mean((x - mean)^2) + eps) * scale + bias, from its first mean on."""
    x = mean.inputs[0]
    rank = graph.rank(x)
    centre = graph.sole_reader(mean.outputs[0])
    if centre is None or centre.op != "Sub" or centre.inputs[0] != x or not _last_axis(graph, mean, rank):
        return None
    readers = graph.consumers.get(centre.outputs[0], [])
    square = next((node for node in readers if _squares(graph, node, centre.outputs[0])), None)
    divide = next(
        (node for node in readers if node.op == "Div" and node.inputs[0] == centre.outputs[0]), None
    )
    if square is None or divide is None or len(readers) != 2:
        return None
    deviation = _deviation(graph, square, rank)
    if deviation is None or deviation[0][-1].outputs[0] != divide.inputs[1]:
        return None
    parts, epsilon = deviation
    affine = _scale_and_bias(graph, divide)
    if affine is None:
        return None
    last = affine[-1]
    inputs, sources, previous = [x], {}, divide
    for place, node in enumerate(affine, start=1):
        name = _other_input(node, previous.outputs[0])
        inputs.append(name)
        sources[place] = (node.outputs[0], node.inputs.index(name))
        previous = node
    attributes = {"axis": -1, "epsilon": epsilon}
    whole = Node(
        "LayerNormalization", mean.name, tuple(inputs), last.outputs, attributes, mean.scope, sources
    )
    return whole, [mean, centre, square, *parts, divide, *affine]


def _deviation(graph: Graph, square: Node, rank: int | None) -> tuple[list[Node], float] | None:
    """Return the nodes of sqrt(mean(square) + epsilon), and epsilon."""
    variance = graph.sole_reader(square.outputs[0])
    if variance is None or variance.op != "ReduceMean" or not _last_axis(graph, variance, rank):
        return None
    shifted = graph.sole_reader(variance.outputs[0])
    epsilon = _constant_operand(graph, shifted, "Add", variance.outputs[0])
    if shifted is None or epsilon is None:
        return None
    root = graph.sole_reader(shifted.outputs[0])
    return ([variance, shifted, root], epsilon) if root is not None and root.op == "Sqrt" else None


def _scale_and_bias(graph: Graph, divide: Node) -> list[Node] | None:
    """Return the nodes that multiply by a constant vector and, perhaps, add one of the same length."""
    scale = graph.sole_reader(divide.outputs[0])
    if scale is None or scale.op != "Mul":
        return None
    weight = _other_input(scale, divide.outputs[0])
    if not _same_vector(graph, weight, weight):
        return None
    bias = graph.sole_reader(scale.outputs[0])
    added = bias is not None and bias.op == "Add" and _other_input(bias, scale.outputs[0])
    return [scale, bias] if bias is not None and added and _same_vector(graph, weight, added) else [scale]


def _squares(graph: Graph, node: Node, name: str) -> bool:
    if node.op == "Mul":
        return node.inputs == (name, name)
    return node.op == "Pow" and node.inputs[0] == name and _number(graph, node.inputs[1]) == 2.0


def _same_vector(graph: Graph, one: str, other: str) -> bool:
    first, second = graph.constants.get(one), graph.constants.get(other)
    return first is not None and second is not None and first.ndim == 1 and first.shape == second.shape


def _gelu(graph: Graph, erf: Node) -> Found | None:
    """Find x * (1 + erf(x / sqrt(2))) * 0.5, the half standing before or after x or with it."""
    scaled = graph.producers.get(erf.inputs[0])
    plus_one = graph.sole_reader(erf.outputs[0])
    if scaled is None or plus_one is None or graph.sole_reader(scaled.outputs[0]) is None:
        return None
    x = scaled.inputs[0]
    by_division = scaled.op == "Div" and _is(_number(graph, scaled.inputs[1]), math.sqrt(2))
    by_product = _is(_constant_operand(graph, scaled, "Mul", x), math.sqrt(0.5))
    one = _constant_operand(graph, plus_one, "Add", erf.outputs[0])
    if not _is(one, 1.0) or not (by_division or by_product):
        return None
    product = _product_with_half(graph, plus_one.outputs[0], x)
    if product is None:
        return None
    whole = Node("Gelu", erf.name, (x,), product[-1].outputs, {}, erf.scope)
    return whole, [scaled, erf, plus_one, *product]


def _product_with_half(graph: Graph, name: str, x: str) -> list[Node] | None:
    """Return the nodes that multiply a value by x and by a half, the last one last."""
    first = graph.sole_reader(name)
    if first is None or first.op != "Mul":
        return None
    other = _other_input(first, name)
    halved = graph.producers.get(other)
    if _is(_constant_operand(graph, halved, "Mul", x), 0.5) and halved is not None:
        return [halved, first] if graph.sole_reader(other) is first else None
    second = graph.sole_reader(first.outputs[0])
    if second is None or second.op != "Mul":
        return None
    last = _other_input(second, first.outputs[0])
    x_then_half = other == x and _is(_number(graph, last), 0.5)
    half_then_x = _is(_number(graph, other), 0.5) and last == x
    return [first, second] if x_then_half or half_then_x else None


def _times_its_gate(op: str) -> Callable[[Graph, Node], Found | None]:
    """Return a finder of x * gate(x)."""

    def find(graph: Graph, gate: Node) -> Found | None:
        product = graph.sole_reader(gate.outputs[0])
        x = gate.inputs[0]
        if product is None or product.op != "Mul" or _other_input(product, gate.outputs[0]) != x:
            return None
        if op == "HardSwish":
            slope, shift = gate.attributes.get("alpha", 0.2), gate.attributes.get("beta", 0.5)
            if not _is(slope, 1 / 6) or not _is(shift, 0.5):
                return None
        whole = replace(product, op=op, inputs=(x,), attributes={})
        return whole, [gate, product]

    return find


_PATTERNS: tuple[tuple[str, Callable[[Graph, Node], Found | None]], ...] = (
    ("ReduceMean", _layer_norm),
    ("Erf", _gelu),
    ("Sigmoid", _times_its_gate("Swish")),
    ("HardSigmoid", _times_its_gate("HardSwish")),
)

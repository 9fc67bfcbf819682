"""What an output ends in: whether its numbers are logits, probabilities, or logarithms of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from simulator.onnx.graph import Graph, Node
from simulator.onnx.supported import VIEWS

Activation = Literal["sigmoid", "softmax", "log_softmax", "probabilities", "log_probabilities"]
_LONGEST_WAY = 12  # operators that only arrange numbers, between an activation and the output
_CLAMPED_AT_MOST = 1e-3  # a Clip this close to 0 and 1 only keeps logarithms finite


@dataclass(frozen=True)
class Ending:
    """The last operator of an output that changes its numbers, where it says what they are.

    Attributes:
        activation: what it is; "probabilities" and "log_probabilities" where several operators compute them.
        value: what it computes, by name.
        logits: what it computes that from, by name; None where that is no logit of each of the numbers.
        axis: the axis that a softmax sums over to 1, counted from the end.
        way: names of the values between `value` and the output, the output included: the same numbers in
            another arrangement.
        clamps: those of them that clamp the numbers.
    """

    activation: Activation
    value: str
    logits: str | None = None
    axis: int | None = None
    way: tuple[str, ...] = ()
    clamps: frozenset[str] = frozenset()

    def sums_over_classes(self, rank: int) -> bool:
        """Whether a softmax is over an axis that may be of classes: the last one, or that after the batch."""
        return self.axis is None or bool(self.way) or self.axis in (-1, 1 - rank)


def ending_of(graph: Graph, name: str) -> Ending | None:
    """Return what an output ends in, None where its numbers may be anything."""
    way: list[str] = []
    clamps: set[str] = set()
    for _ in range(_LONGEST_WAY):
        node = graph.producers.get(name)
        if node is None:
            return None
        find = _ENDINGS.get(node.op)
        found = find(graph, node) if find else None
        if found is not None:
            return replace(found, way=tuple(reversed(way)), clamps=frozenset(clamps))
        if node.op == "Clip" and _only_clamps(graph, node):
            clamps.add(name)
        elif node.op not in VIEWS:
            return None
        way.append(name)
        name = node.inputs[0]
    return None


def _only_clamps(graph: Graph, node: Node) -> bool:
    bounds = [
        node.attributes.get(key, graph.constants.get(node.input(place), default))
        for place, (key, default) in enumerate((("min", 0.0), ("max", 1.0)), start=1)
    ]
    low, high = (float(np.asarray(bound).reshape(-1)[0]) for bound in bounds)
    return low <= _CLAMPED_AT_MOST and high >= 1 - _CLAMPED_AT_MOST


def _sigmoid(graph: Graph, node: Node) -> Ending:  # noqa: ARG001 - all take the same
    return Ending("sigmoid", node.outputs[0], node.inputs[0])


def _softmax(graph: Graph, node: Node) -> Ending | None:
    rank = graph.rank(node.outputs[0]) or graph.rank(node.inputs[0])
    axis = node.attributes.get("axis", 1 if graph.opset < 13 else -1)
    if rank is None or (graph.opset < 13 and axis % rank != rank - 1):
        return None  # before opset 13 a softmax went over all axes from this one on
    activation: Activation = "softmax" if node.op == "Softmax" else "log_softmax"
    return Ending(activation, node.outputs[0], node.inputs[0], axis % rank - rank)


def _log(graph: Graph, node: Node) -> Ending | None:
    inner = ending_of(graph, node.inputs[0])
    if inner is None or inner.activation not in ("sigmoid", "softmax", "probabilities"):
        return None
    return Ending("log_probabilities", node.outputs[0], axis=inner.axis)


def _softmax_in_parts(graph: Graph, node: Node) -> Ending | None:
    """Find exp(z) / sum(exp(z)), as converters write a softmax of old frameworks."""
    exponential, total = (graph.producers.get(name) for name in node.inputs[:2])
    if exponential is None or total is None or exponential.op != "Exp" or total.op != "ReduceSum":
        return None
    if total.inputs[0] != exponential.outputs[0]:
        return None
    axes = total.attributes.get("axes")
    if axes is None and total.input(1) in graph.constants:
        axes = graph.constants[total.input(1)].reshape(-1).tolist()
    rank = graph.rank(node.outputs[0])
    if rank is None or axes is None or len(axes) != 1:
        return None
    return Ending("softmax", node.outputs[0], exponential.inputs[0], axes[0] % rank - rank)


def _both_sides(graph: Graph, node: Node) -> Ending | None:
    """Find the probabilities 1 - p and p side by side, as converters write a binary classifier."""
    if len(node.inputs) != 2:
        return None
    first, second = (graph.producers.get(name) for name in node.inputs)
    if first is None or second is None or first.op != "Sub" or first.inputs[1] != node.inputs[1]:
        return None
    one = graph.constants.get(first.inputs[0])
    if one is None or not (one == 1).all() or ending_of(graph, node.inputs[1]) is None:
        return None
    return Ending("probabilities", node.outputs[0])


def _hard_sigmoid(graph: Graph, node: Node) -> Ending:  # noqa: ARG001 - all take the same
    return Ending("probabilities", node.outputs[0])


_ENDINGS: dict[str, Callable[[Graph, Node], Ending | None]] = {
    "Sigmoid": _sigmoid,
    "HardSigmoid": _hard_sigmoid,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Log": _log,
    "Div": _softmax_in_parts,
    "Concat": _both_sides,
}

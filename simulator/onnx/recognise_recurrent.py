"""Recognises LSTM, GRU and plain recurrent layers."""

from __future__ import annotations

import math

from simulator.onnx.graph import Graph, Node
from simulator.onnx.layers import Draft, Port, UnsupportedVariantError
from simulator.onnx.layouts import Gates

# Positions in ONNX's gate order (LSTM iofc, GRU zrh) of torch's gates (ifgo, rzn).
_GATE_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_ACTIVATIONS = {
    "LSTM": (["Sigmoid", "Tanh", "Tanh"],),
    "GRU": (["Sigmoid", "Tanh"],),
    "RNN": (["Tanh"], ["Relu"]),
}


def recognise_recurrent(graph: Graph, node: Node) -> Draft | None:
    """Return the torch module that a recurrent node is.

    Raises:
        UnsupportedVariantError: torch's module computes something else.
    """
    direction = node.attributes.get("direction", "forward")
    directions = 2 if direction == "bidirectional" else 1
    activations = _activations(node, directions)
    problems = _problems(graph, node) + ([] if activations else ["other activation functions"])
    if problems or activations is None:
        raise UnsupportedVariantError(f"it has {', '.join(problems)}")
    weight = tuple(graph.constants[node.input(1)].shape)
    ports = _ports(node, directions)
    arguments: dict[str, object] = {
        "input_size": weight[2],
        "hidden_size": weight[1] // len(_GATE_ORDER[node.op]),
        "bias": len(ports) == 3,
        "bidirectional": directions == 2,
    }
    if node.op == "RNN":
        arguments["nonlinearity"] = activations[0].lower()
    return Draft(
        module=node.op,
        kind="analog",
        weight=node.inputs[1],
        weight_shape=(math.prod(weight[:2]), weight[2]),
        arguments=arguments,
        ports=ports,
        inputs=(node.inputs[0], node.input(5), node.input(6)),
        reverse=direction == "reverse",
    )


def _activations(node: Node, directions: int) -> list[str] | None:
    """Return the activation functions of one direction if torch's module has the same."""
    told = [name.capitalize() for name in node.attributes.get("activations", [])]
    known = _ACTIVATIONS[node.op]
    return next((usual for usual in known if not told or told == usual * directions), None)


def _problems(graph: Graph, node: Node) -> list[str]:
    attributes = node.attributes
    computed = [name for name in node.inputs[1:4] if name and name not in graph.constants]
    reset_first = node.op == "GRU" and not attributes.get("linear_before_reset", 0)
    problems = {
        "weights or biases that are computed from the input": bool(computed),
        "sequence lengths (pad the sequences to one length)": bool(node.input(4)),
        "peephole connections": bool(node.input(7)),
        "layout=1 (export with the time first)": bool(attributes.get("layout", 0)),
        "coupled gates": bool(attributes.get("input_forget", 0)),
        "clipped cells": "clip" in attributes,
        "linear_before_reset=0, which torch's GRU does not compute": reset_first,
    }
    return [problem for problem, present in problems.items() if present]


def _ports(node: Node, directions: int) -> tuple[Port, ...]:
    order = _GATE_ORDER[node.op]
    consumer = next(name for name in node.outputs if name)
    ends = ("_l0", "_l0_reverse")[:directions]
    weights = tuple(
        Port(
            node.inputs[position],
            consumer,
            position,
            tuple(f"{key}{end}" for end in ends),
            Gates(order, directions),
        )
        for position, key in ((1, "weight_ih"), (2, "weight_hh"))
    )
    if not node.input(3):
        return weights
    keys = tuple(f"bias_{side}{end}" for end in ends for side in ("ih", "hh"))
    return (*weights, Port(node.inputs[3], consumer, 3, keys, Gates(order, directions, parts=2)))

"""Writes out the branch of an `If` that is always taken.

Exporters write an `If` where the user's code asks for a rank or a size. Where these are known, one branch is
part of the graph like any other nodes, and the other one is never run.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx


def branch_of(node: onnx.NodeProto, taken: bool) -> onnx.GraphProto:
    """Return a graph of an `If`: its values are named after the `If`, its outputs as those of the `If`."""
    name = "then_branch" if taken else "else_branch"
    graph = onnx.GraphProto()
    graph.CopyFrom(next(attribute.g for attribute in node.attribute if attribute.name == name))
    names = {}
    own = [tensor.name for tensor in graph.initializer]
    own += [output for inner in graph.node for output in inner.output if output]
    for inner_name in own:
        names[inner_name] = f"{node.output[0]}/{inner_name}"
    for inner_output, outer in zip(graph.output, node.output, strict=True):
        if inner_output.name in names and names[inner_output.name] not in node.output:
            names[inner_output.name] = outer
        else:  # a value of the graph around, or one that is two outputs
            graph.node.add(op_type="Identity", input=[inner_output.name], output=[outer])
            names[outer] = outer
    _rename(graph, names)
    return graph


def take_branches(model: onnx.ModelProto, taken: Mapping[str, bool]) -> None:
    """Replace each `If` of a model that always goes one way by its branch, in place.

    Args:
        model: without functions.
        taken: by the first output of the `If`, whether its condition holds.
    """
    if not taken:
        return
    graph = model.graph
    pending = list(graph.node)
    nodes: list[onnx.NodeProto] = []
    while pending:
        node = pending.pop(0)
        if node.op_type == "If" and node.output[0] in taken:
            branch = branch_of(node, taken[node.output[0]])
            graph.initializer.extend(branch.initializer)
            pending = [*branch.node, *pending]
        else:
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values in a graph and in the graphs inside of it, where these do not hide them."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for value in (*graph.value_info, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for inside in (*inner, *attribute.graphs):
                _rename(inside, names)

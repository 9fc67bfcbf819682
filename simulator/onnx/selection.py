"""Which of a file's outputs are computed: those asked for, or those that a task can use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx

from simulator.intake import Fault, IntakeError
from simulator.onnx import limits, tensors
from simulator.onnx.supported import SUPPORTED

ONNX_DOMAINS = ("", "ai.onnx")


def select_outputs(model: onnx.ModelProto, wanted: Sequence[str] | None) -> dict[str, str]:
    """Drop outputs, and everything that leads to none of the others, in place.

    Args:
        model: the file.
        wanted: names of the outputs to keep. None keeps those that hold floating-point numbers and are made
            of supported operators, if there are some: classifiers of other libraries have their label as a
            second output.

    Returns:
        What the user should know, by code.

    Raises:
        IntakeError: an output that was asked for is not there.
    """
    names = [value.name for value in model.graph.output]
    if wanted is not None:
        missing = [name for name in wanted if name not in names]
        if missing or not wanted:
            there = ", ".join(names)
            faults = [
                Fault(limits.INVALID, f"there is no output {name!r}; there are {there}") for name in missing
            ]
            raise IntakeError(
                limits.INVALID, f"outputs that are not there: {missing}; there are {there}", faults
            )
        prune(model, wanted)
        return {}
    unusable = _unsupported_values(model) if len(names) > 1 else set()
    usable = [
        value.name for value in model.graph.output if value.name not in unusable and _is_floating_point(value)
    ]
    if len(names) < 2 or not usable or len(usable) == len(names):
        prune(model, names)
        return {}
    dropped = [name for name in names if name not in usable]
    prune(model, usable)
    message = (
        f"the outputs {dropped} are not computed: they hold no floating-point numbers, or use operators that "
        f"are not supported; to choose others, upload the model with ?outputs=<name>,<name>"
    )
    return {"outputs_dropped": message}


def prune(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Keep these outputs of a model and what they are computed from, in place."""
    graph = model.graph
    kept = _leading_to(graph, outputs)
    if len(kept) == len(graph.node) and len(outputs) == len(graph.output):
        return
    read_before = {name for node in graph.node for name in _reads(node)}
    read = {name for node in kept for name in _reads(node)} | set(outputs)
    gone = read_before - read
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(nodes)
    for field in (graph.initializer, graph.input, graph.value_info):
        for position in reversed(range(len(field))):
            if field[position].name in gone:
                del field[position]
    for position in reversed(range(len(graph.output))):
        if graph.output[position].name not in outputs:
            del graph.output[position]


def _leading_to(graph: onnx.GraphProto, outputs: Iterable[str]) -> list[onnx.NodeProto]:
    wanted, kept = set(outputs), []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(_reads(node))
            kept.append(node)
    return kept[::-1]


def _reads(node: onnx.NodeProto) -> set[str]:
    """Return what a node reads, in the graphs inside of it, too."""
    names = set(node.input)
    for graph in tensors.graphs_of_node(node):
        names.update(value.name for value in graph.output)
        for inner in graph.node:
            names |= _reads(inner)
    return names


def _is_floating_point(output: onnx.ValueInfoProto) -> bool:
    kind = output.type.tensor_type.elem_type
    return output.type.HasField("tensor_type") and kind in (*tensors.FLOAT_TYPES, 0)


def _unsupported_values(model: onnx.ModelProto) -> set[str]:
    """Return the values that some operator leads to that is not supported."""
    functions = {(function.domain, function.name): function for function in model.functions}
    known: dict[tuple[str, str], bool] = {}

    def is_supported(node: onnx.NodeProto, depth: int) -> bool:
        key = (node.domain, node.op_type)
        if key not in functions:
            return node.domain in ONNX_DOMAINS and (node.op_type in SUPPORTED or node.op_type == "If")
        if key not in known:
            known[key] = True  # a function that calls itself is refused later, as one that nests too deep is
            known[key] = depth > limits.NESTING or all(
                is_supported(inner, depth + 1) for inner in functions[key].node
            )
        return known[key]

    found: set[str] = set()
    for node in model.graph.node:
        if not is_supported(node, 0) or found.intersection(_reads(node)):
            found.update(node.output)
    return found

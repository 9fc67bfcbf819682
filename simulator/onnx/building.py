"""A checked model to a graph: constants computed, shapes inferred, sizes bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from onnx import defs, helper, numpy_helper, shape_inference

from simulator.intake import Fault, IntakeError
from simulator.onnx import limits, tensors
from simulator.onnx.batch_axis import put_batch_first
from simulator.onnx.branches import branch_of
from simulator.onnx.folding import Folder, shape_of, short, type_of
from simulator.onnx.graph import Graph, Node, ValueType
from simulator.onnx.naming import scope_of
from simulator.onnx.reading import CheckedModel
from simulator.onnx.supported import SUPPORTED

_SMALL_TENSOR = 1024
_CAST_HINT = (
    "convert with Cast, or quantised numbers with DequantizeLinear; a newer opset may export as it is"
)


def build_graph(checked: CheckedModel, *, batch_first: bool = True) -> Graph:
    """Compute a model's constants and shapes.

    Args:
        checked: the model.
        batch_first: whether inputs and outputs that have the time first are turned.

    Raises:
        IntakeError: `invalid_model` if shapes contradict each other or nothing is computed from an input,
            `model_too_complex` if a value or a constant would be too large.
    """
    folder = Folder(checked)
    model = checked.skeleton
    branches: dict[str, bool] = {}
    # Constants first: shape inference computes some of them, too, without a bound.
    nodes = folder.fold_all(model.graph.node, _value_types(model))
    while True:
        nodes, found = _without_branches(nodes, folder)
        branches |= found
        model = _infer_shapes(_without_folded(model, _before_branches(nodes), folder.constants))
        types = _value_types(model)
        _check_sizes(types)
        before, nodes = len(nodes), folder.fold_all(nodes, types)
        if len(nodes) == before and not found:
            break
    _refuse_unsupported(nodes)
    outputs = [value.name for value in checked.skeleton.graph.output]
    graph = Graph(
        opset=checked.opset,
        nodes=_needed([_node(node) for node in nodes], outputs),
        constants=folder.constants,
        origins=folder.origins,
        types=types,
        inputs=[value.name for value in model.graph.input if value.name not in folder.constants],
        outputs=outputs,
        branches=branches,
    )
    _check_dependence(graph)
    _check_element_types(graph)
    graph.index()
    if batch_first:
        put_batch_first(graph)
    return graph


def _without_branches(
    nodes: list[onnx.NodeProto], folder: Folder
) -> tuple[list[onnx.NodeProto], dict[str, bool]]:
    """Write out each `If` that always goes one way; returns the nodes, and which way each of these goes."""
    taken: dict[str, bool] = {}
    kept: list[onnx.NodeProto] = []
    for node in nodes:
        holds = folder.condition(node) if node.op_type == "If" else None
        if holds is None:
            kept.append(node)
            continue
        taken[node.output[0]] = holds
        branch = branch_of(node, holds)
        folder.add_initialisers(branch.initializer)
        kept += branch.node
    return kept, taken


def _before_branches(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes that read nothing of an `If`: what a branch that is not taken computes may not fit."""
    unknown: set[str] = set()
    kept = []
    for node in nodes:
        if node.op_type == "If" or unknown.intersection(node.input):
            unknown.update(node.output)
        else:
            kept.append(node)
    return kept


def _refuse_unsupported(nodes: list[onnx.NodeProto]) -> None:
    """Refuse what is left of branches, and what was inside of them."""
    faults = []
    for node in nodes:
        label = f"node {node.name or node.output[0]!r}"
        if node.op_type == "If":
            what = (
                f"{label} is control flow (If) whose condition depends on the input, or on a size left open"
            )
            hint = "export the model traced, or with the sizes that the condition asks for fixed"
            faults.append(Fault(limits.UNSUPPORTED_OPERATOR, what, hint))
        elif node.op_type not in SUPPORTED:
            faults.append(Fault(limits.UNSUPPORTED_OPERATOR, f"{label} uses the operator {node.op_type!r}"))
    if faults:
        message = f"{len(faults)} nodes use what is not supported: {faults[0].message}"
        raise IntakeError(limits.UNSUPPORTED_OPERATOR, message, faults)


def _infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer shapes strictly; a file's own notes on them are dropped where they contradict."""
    try:
        return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError):
        bare = onnx.ModelProto()
        bare.CopyFrom(model)
        bare.graph.ClearField("value_info")
        for value in bare.graph.output:
            value.type.tensor_type.ClearField("shape")
    except MemoryError:
        raise IntakeError(limits.TOO_COMPLEX, "inferring the model's shapes takes too much memory") from None
    try:
        return shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        message = f"the model's shapes do not fit together: {short(error)}"
        raise IntakeError(limits.INVALID, message) from None


def _without_folded(
    model: onnx.ModelProto, kept: list[onnx.NodeProto], constants: Mapping[str, tensors.Array]
) -> onnx.ModelProto:
    """Return the model with the folded nodes replaced by their values, large ones by inputs."""
    reduced = onnx.ModelProto()
    reduced.CopyFrom(model)
    del reduced.graph.node[:]
    reduced.graph.node.extend(kept)
    read = {name for node in kept for name in node.input}
    present = {value.name for value in reduced.graph.input}
    present |= {tensor.name for tensor in reduced.graph.initializer}
    for name in sorted(read & constants.keys() - present):
        value = constants[name]
        if value.size <= _SMALL_TENSOR:
            reduced.graph.initializer.append(numpy_helper.from_array(value, name))
        else:
            reduced.graph.input.append(onnx.ValueInfoProto(name=name, type=type_of(value)))
    still_there = {name for node in kept for name in node.output}
    notes = [value for value in reduced.graph.value_info if value.name in still_there]
    del reduced.graph.value_info[:]
    reduced.graph.value_info.extend(notes)
    return reduced


def _value_types(model: onnx.ModelProto) -> dict[str, ValueType]:
    types = {}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        dtype = tensors.dtype_name(value.type.tensor_type.elem_type)
        if dtype is not None:
            types[value.name] = ValueType(dtype, shape_of(value.type.tensor_type))
    return types


def _check_sizes(types: Mapping[str, ValueType]) -> None:
    for name, kind in types.items():
        dims = [dim for dim in kind.shape or () if isinstance(dim, int)]
        if any(dim < 0 for dim in dims):
            raise IntakeError(limits.INVALID, f"the value {name!r} has a negative size: {list(dims)}")
        if math.prod(dims) > limits.VALUE_ELEMENTS:
            message = f"the value {name!r} of shape {dims} has more than {limits.VALUE_ELEMENTS} numbers"
            raise IntakeError(limits.TOO_COMPLEX, message)


def _check_dependence(graph: Graph) -> None:
    """Refuse outputs that are the same for all inputs."""
    dependent = set(graph.inputs)
    for node in graph.nodes:
        if dependent.intersection(node.inputs):
            dependent.update(node.outputs)
    constant = [name for name in graph.outputs if name not in dependent]
    if constant:
        message = f"the outputs {constant} do not depend on any input"
        raise IntakeError(limits.INVALID, message)


def _check_element_types(graph: Graph) -> None:
    """Refuse nodes that get element types which their operator does not take, or does not take together.

    Shape inference looks at few of them, and what runs the model at all of them.
    """
    faults = []
    for node in graph.nodes:
        schema = defs.get_schema(node.op, graph.opset)
        allowed = {one.type_param_str: one.allowed_type_strs for one in schema.type_constraints}
        seen: dict[str, dict[str, str]] = {}
        for position, name in enumerate(node.inputs):
            dtype = graph.dtype(name)
            variable = schema.inputs[min(position, len(schema.inputs) - 1)]
            is_mixed = position >= len(schema.inputs) - 1 and not variable.is_homogeneous
            if dtype is not None and not is_mixed:
                seen.setdefault(variable.type_str, {})[name] = dtype
        label = f"node {node.name or node.outputs[0]!r} ({node.op})"
        for variable_name, dtypes in seen.items():
            told = ", ".join(f"{name!r} {dtype}" for name, dtype in dtypes.items())
            if len(set(dtypes.values())) > 1:
                faults.append(
                    Fault(limits.INVALID, f"{label} gets inputs of different types: {told}", _CAST_HINT)
                )
            elif not _takes(next(iter(dtypes.values())), allowed.get(variable_name, [variable_name])):
                faults.append(Fault(limits.INVALID, f"{label} does not take {told}", _CAST_HINT))
    if faults:
        raise IntakeError(limits.INVALID, f"the model is not valid: {faults[0].message}", faults)


def _takes(dtype: str, allowed: Iterable[str]) -> bool:
    onnx_name = {"float32": "float"}.get(dtype, dtype)
    wide = ("tensor(double)", "tensor(float16)", "tensor(bfloat16)") if dtype == "float32" else ()
    return any(one == f"tensor({onnx_name})" or one in wide for one in allowed) or not any(
        one.startswith("tensor(") for one in allowed
    )


def _needed(nodes: list[Node], outputs: list[str]) -> list[Node]:
    """Return the nodes that some output depends on."""
    wanted, needed = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            needed.append(node)
    return needed[::-1]


def _node(node: onnx.NodeProto) -> Node:
    inputs = list(node.input)
    while inputs and not inputs[-1]:
        inputs.pop()
    outputs = list(node.output)
    while outputs and not outputs[-1]:
        outputs.pop()
    return Node(
        op=node.op_type,
        name=node.name,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        attributes={attribute.name: _attribute_value(attribute) for attribute in node.attribute},
        scope=scope_of(node),
    )


def _attribute_value(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.TENSOR:
        return tensors.to_array(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [text.decode(errors="replace") for text in value]
    if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(value)
    return value

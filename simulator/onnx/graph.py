"""A checked model as a plain graph: nodes, constants as numpy arrays, and what is known of every value.

Everything that can be computed from constants alone is computed here, by ONNX's own reference operators,
each result bounded before it is made. What is left computes on the user's inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from simulator.intake import IntakeError
from simulator.onnx import limits, tensors
from simulator.onnx.naming import scope_of
from simulator.onnx.reading import CheckedModel
from simulator.onnx.supported import FOLDABLE, VIEWS

_SMALL_TENSOR = 1024
Dim = int | str | None


@dataclass(frozen=True)
class ValueType:
    """What shape inference knows of a value.

    Attributes:
        dtype: numpy's name of the element type.
        shape: a number, a symbol, or None for each dimension; None for an unknown rank.
    """

    dtype: str
    shape: tuple[Dim, ...] | None

    @property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape if every dimension is a number."""
        if self.shape is None:
            return None
        dims = tuple(dim for dim in self.shape if isinstance(dim, int))
        return dims if len(dims) == len(self.shape) else None


@dataclass(frozen=True)
class Node:
    """One operator call.

    Attributes:
        op: the operator.
        name: the node's name in the file, may be empty.
        inputs: names of values, "" for an input that is left out.
        outputs: names of values, "" for an output that nobody wants.
        attributes: plain numbers, strings, lists; tensors as arrays.
        scope: qualified name of the user's module that the node came from, where the exporter tells.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    scope: str | None

    def input(self, position: int) -> str:
        """Return the name of an input, "" where there is none."""
        return self.inputs[position] if position < len(self.inputs) else ""


@dataclass
class Graph:
    """A model's graph after folding.

    Attributes:
        opset: version of the operators.
        nodes: in an order in which each node comes after those that it reads from.
        constants: values known without any input, by name.
        origins: for a constant that is an initialiser seen through transposes and the like, its name.
        types: what is known of each value.
        inputs: names of the inputs that have to be given.
        outputs: names of the outputs.
        consumers: the nodes that read a value.
    """

    opset: int
    nodes: list[Node]
    constants: dict[str, tensors.Array]
    origins: dict[str, str]
    types: dict[str, ValueType]
    inputs: list[str]
    outputs: list[str]
    consumers: dict[str, list[Node]] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[Dim, ...] | None:
        """Return what is known of a value's shape, None for an unknown rank."""
        if name in self.constants:
            return self.constants[name].shape
        kind = self.types.get(name)
        return None if kind is None else kind.shape

    def rank(self, name: str) -> int | None:
        """Return a value's number of dimensions, None if it is unknown."""
        shape = self.shape(name)
        return None if shape is None else len(shape)


def build_graph(checked: CheckedModel) -> Graph:
    """Compute a model's constants and shapes.

    Raises:
        IntakeError: `invalid_model` if shapes contradict each other or nothing is computed from an input,
            `model_too_complex` if a value or a constant would be too large.
    """
    model = _infer_shapes(checked.skeleton)
    _check_sizes(_value_types(model))
    folder = _Folder(checked, _value_types(model))
    kept = [node for node in model.graph.node if not folder.fold(node)]
    if folder.folded:
        model = _infer_shapes(_without_folded(model, kept, folder.constants))
        _check_sizes(_value_types(model))
    given = [value.name for value in model.graph.input if value.name not in folder.constants]
    outputs = [value.name for value in checked.skeleton.graph.output]
    constant = [name for name in outputs if name in folder.constants]
    if constant or not given:
        what = f"output {constant[0]!r}" if constant else "the model"
        raise IntakeError(limits.INVALID, f"{what} does not depend on any input")
    graph = Graph(
        opset=checked.opset,
        nodes=_needed([_node(node) for node in kept], outputs),
        constants=folder.constants,
        origins=folder.origins,
        types=_value_types(model),
        inputs=given,
        outputs=outputs,
    )
    for node in graph.nodes:
        for name in dict.fromkeys(node.inputs):
            graph.consumers.setdefault(name, []).append(node)
    return graph


class _Folder:
    """Computes nodes whose inputs are constants, within the limits."""

    def __init__(self, checked: CheckedModel, types: dict[str, ValueType]) -> None:
        self.constants = dict(checked.initialisers)
        self.origins = {name: name for name in checked.initialisers}
        self.folded = 0
        self._elements = 0
        self._opset = checked.opset
        self._types = types

    def fold(self, node: onnx.NodeProto) -> bool:
        """Compute the node if it can be; returns whether it was."""
        results = self._results(node)
        if results is None:
            return False
        self.folded += 1
        for name, value in zip(node.output, results, strict=False):
            if name:
                self._elements += value.size
                self.constants[name] = value
        if self._elements > limits.FOLDED_ELEMENTS_IN_ALL:
            message = f"computing the model's constants takes more than {limits.FOLDED_ELEMENTS_IN_ALL} numbers"
            raise IntakeError(limits.TOO_COMPLEX, message)
        source = node.input[0] if node.input else ""
        if node.op_type in VIEWS and source in self.origins:
            self.origins[node.output[0]] = self.origins[source]
            self._elements -= results[0].size  # the numbers of a view are counted where they are stored
        elif node.op_type == "Constant":
            self.origins[node.output[0]] = node.output[0]
        return True

    def _results(self, node: onnx.NodeProto) -> list[tensors.Array] | None:
        if node.op_type in ("Shape", "Size"):
            static = self._static_shape(node.input[0])
            return None if static is None else [_shape_value(node, static)]
        if node.op_type == "Constant":
            return [_constant_value(node)]
        if node.op_type == "CastLike" and node.input[0] in self.constants:
            target = self._types.get(node.input[1])
            return None if target is None else [self.constants[node.input[0]].astype(target.dtype)]
        inputs = [name for name in node.input if name]
        if node.op_type not in FOLDABLE or not all(name in self.constants for name in inputs):
            return None
        if self.folded >= limits.FOLDED_NODES:
            message = f"more than {limits.FOLDED_NODES} nodes compute constants"
            raise IntakeError(limits.TOO_COMPLEX, message)
        return self._evaluate(node, {name: self.constants[name] for name in inputs})

    def _static_shape(self, name: str) -> tuple[int, ...] | None:
        if name in self.constants:
            return self.constants[name].shape
        kind = self._types.get(name)
        return None if kind is None else kind.static_shape

    def _evaluate(self, node: onnx.NodeProto, inputs: dict[str, tensors.Array]) -> list[tensors.Array] | None:
        label = f"node {node.name or node.op_type!r}"
        types = {name: _type_of(value) for name, value in inputs.items()}
        opsets = [helper.make_opsetid("", self._opset)]
        known = {name: numpy_helper.from_array(value) for name, value in inputs.items() if value.size <= 4096}
        try:
            schema = defs.get_schema(node.op_type, self._opset)
            shapes = shape_inference.infer_node_outputs(schema, node, types, known, opset_imports=opsets)
        except (shape_inference.InferenceError, defs.SchemaError, RuntimeError) as error:
            raise IntakeError(limits.INVALID, f"{label} does not fit its inputs: {_short(error)}") from None
        largest = max((value.size for value in inputs.values()), default=0)
        for kind in shapes.values():
            shape = _shape_of(kind.tensor_type)
            if shape is None or not all(isinstance(dim, int) for dim in shape):
                return None  # a size that is not known before is not risked
            elements = math.prod(int(dim or 0) for dim in shape)
            if elements > max(limits.FOLDED_ELEMENTS, largest):
                message = f"{label} computes a constant of {elements} numbers"
                raise IntakeError(limits.TOO_COMPLEX, message)
        graph = helper.make_graph(
            [node],
            "constant",
            [onnx.ValueInfoProto(name=name, type=kind) for name, kind in types.items()],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
        )
        model = helper.make_model(graph, opset_imports=opsets)
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(model).run(None, inputs)
        except (ValueError, TypeError, IndexError, RuntimeError, ArithmeticError, NotImplementedError) as error:
            raise IntakeError(limits.INVALID, f"{label} cannot be computed: {_short(error)}") from None
        named = dict(zip([name for name in node.output if name], results, strict=True))
        return [_plain(named[name]) if name else np.zeros(0, np.float32) for name in node.output]


def _plain(value: Any) -> tensors.Array:
    array: tensors.Array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _type_of(value: tensors.Array) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def _shape_value(node: onnx.NodeProto, shape: tuple[int, ...]) -> tensors.Array:
    if node.op_type == "Size":
        return np.asarray(math.prod(shape), np.int64)
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    return np.asarray(shape[attributes.get("start", 0) : attributes.get("end")], np.int64)


def _constant_value(node: onnx.NodeProto) -> tensors.Array:
    attribute = node.attribute[0]
    if attribute.name == "value":
        return tensors.to_array(attribute.t)
    if attribute.name in ("value_float", "value_floats"):
        return np.asarray(helper.get_attribute_value(attribute), np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.asarray(helper.get_attribute_value(attribute), np.int64)
    raise IntakeError(limits.INVALID, f"node {node.name!r}: constants of kind {attribute.name!r} are not supported")


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
    try:
        return shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise IntakeError(limits.INVALID, f"the model's shapes do not fit together: {_short(error)}") from None


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
            reduced.graph.input.append(onnx.ValueInfoProto(name=name, type=_type_of(value)))
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
            types[value.name] = ValueType(dtype, _shape_of(value.type.tensor_type))
    return types


def _shape_of(kind: onnx.TypeProto.Tensor) -> tuple[Dim, ...] | None:
    if not kind.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in kind.shape.dim
    )


def _check_sizes(types: Mapping[str, ValueType]) -> None:
    for name, kind in types.items():
        dims = [dim for dim in kind.shape or () if isinstance(dim, int)]
        if any(dim < 0 for dim in dims):
            raise IntakeError(limits.INVALID, f"the value {name!r} has a negative size: {list(dims)}")
        if math.prod(dims) > limits.VALUE_ELEMENTS:
            message = f"the value {name!r} of shape {dims} has more than {limits.VALUE_ELEMENTS} numbers"
            raise IntakeError(limits.TOO_COMPLEX, message)


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
    if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(value)
    return value

"""Computes what can be computed from constants alone, by ONNX's own reference operators.

The size of each result is known before it is made: a few bytes can ask for terabytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from simulator.intake import IntakeError
from simulator.onnx import limits, tensors
from simulator.onnx.graph import Dim, ValueType
from simulator.onnx.naming import is_made_up
from simulator.onnx.partial import PartialValue, compute, shape_value
from simulator.onnx.reading import CheckedModel
from simulator.onnx.supported import FOLDABLE, VIEWS

_SHOWN_TO_INFERENCE = 4096  # elements of an input whose numbers decide on the size of the result


class Folder:
    """Computes nodes whose inputs are constants, within the limits.

    Attributes:
        constants: the constants known by now, by name.
        origins: for a constant that is an initialiser seen through transposes and the like, its name.
    """

    def __init__(self, checked: CheckedModel) -> None:
        self.constants = dict(checked.initialisers)
        self.origins = {name: name for name in checked.initialisers}
        self._folded = 0
        self._elements = 0
        self._opset = checked.opset
        self._types: Mapping[str, ValueType] = {}
        self._partial: dict[str, PartialValue] = {}

    def condition(self, node: onnx.NodeProto) -> bool | None:
        """Return which way an `If` always goes, None if that depends on the input."""
        known = self.constants.get(node.input[0])
        return None if known is None or known.size != 1 else bool(known.reshape(-1)[0])

    def add_initialisers(self, found: Iterable[onnx.TensorProto]) -> None:
        """Take the initialisers of a branch that is always taken."""
        for tensor in found:
            self.constants[tensor.name] = tensors.to_array(tensor)
            self.origins[tensor.name] = tensor.name

    def fold_all(
        self, nodes: Iterable[onnx.NodeProto], types: Mapping[str, ValueType]
    ) -> list[onnx.NodeProto]:
        """Compute all nodes that can be; returns the others.

        Args:
            nodes: in order.
            types: what is known of the values that they read.
        """
        self._types = types
        return [node for node in nodes if not self._fold(node)]

    def _fold(self, node: onnx.NodeProto) -> bool:
        results = self._results(node)
        if results is None:
            return False
        self._folded += 1
        for name, value in zip(node.output, results, strict=False):
            if name:
                self._elements += value.size
                self.constants[name] = value
        if self._elements > limits.FOLDED_ELEMENTS_IN_ALL:
            message = (
                f"computing the model's constants takes more than {limits.FOLDED_ELEMENTS_IN_ALL} numbers"
            )
            raise IntakeError(limits.TOO_COMPLEX, message)
        source = node.input[0] if node.input else ""
        if node.op_type in VIEWS and source in self.origins:
            # The older exporter stores equal parameters once and gives each its name by an Identity.
            is_alias = node.op_type == "Identity" and not is_made_up(node.output[0])
            self.origins[node.output[0]] = node.output[0] if is_alias else self.origins[source]
            self._elements -= results[0].size  # the numbers of a view are counted where they are stored
        elif node.op_type == "Constant":
            self.origins[node.output[0]] = node.output[0]
        return True

    def _results(self, node: onnx.NodeProto) -> list[tensors.Array] | None:
        if node.op_type in ("Shape", "Size"):
            shape = self._shape(node.input[0])
            return None if shape is None else self._remember(node, [shape_value(shape, node)])
        if node.op_type == "Constant":
            return [_constant_value(node)]
        if node.op_type == "CastLike" and node.input[0] in self.constants:
            target = self._types.get(node.input[1])
            return None if target is None else [self.constants[node.input[0]].astype(target.dtype)]
        inputs = [name for name in node.input if name]
        if node.op_type not in FOLDABLE:
            return None
        if not all(name in self.constants for name in inputs):
            return self._partly(node)
        if self._folded >= limits.FOLDED_NODES:
            message = f"more than {limits.FOLDED_NODES} nodes compute constants"
            raise IntakeError(limits.TOO_COMPLEX, message)
        return self._evaluate(node, {name: self.constants[name] for name in inputs})

    def _shape(self, name: str) -> tuple[Dim, ...] | None:
        if name in self.constants:
            return self.constants[name].shape
        kind = self._types.get(name)
        return None if kind is None else kind.shape

    def _partly(self, node: onnx.NodeProto) -> list[tensors.Array] | None:
        """Follow whole numbers of which some are known; returns them once all are."""
        if not any(name in self._partial for name in node.input):
            return None
        inputs = []
        for name in node.input:
            constant = self.constants.get(name)
            value = self._partial.get(name) if constant is None else PartialValue.of(constant)
            if name and value is None:
                return None
            inputs.append(value)
        found = compute(node, inputs)
        return None if found is None else self._remember(node, found)

    def _remember(self, node: onnx.NodeProto, values: list[PartialValue]) -> list[tensors.Array] | None:
        known = [array for value in values if (array := value.known()) is not None]
        if len(known) == len(values):
            return known
        self._partial.update(zip(node.output, values, strict=False))
        return None

    def _evaluate(self, node: onnx.NodeProto, inputs: dict[str, tensors.Array]) -> list[tensors.Array] | None:
        label = f"node {node.name or node.op_type!r}"
        types = {name: type_of(value) for name, value in inputs.items()}
        opsets = [helper.make_opsetid("", self._opset)]
        known = {
            name: numpy_helper.from_array(value)
            for name, value in inputs.items()
            if value.size <= _SHOWN_TO_INFERENCE
        }
        try:
            schema = defs.get_schema(node.op_type, self._opset)
            shapes = shape_inference.infer_node_outputs(schema, node, types, known, opset_imports=opsets)
        except (shape_inference.InferenceError, defs.SchemaError, RuntimeError) as error:
            raise IntakeError(limits.INVALID, f"{label} does not fit its inputs: {short(error)}") from None
        largest = max((value.size for value in inputs.values()), default=0)
        for kind in shapes.values():
            shape = shape_of(kind.tensor_type)
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
        if node.op_type == "DequantizeLinear":  # whose older versions the reference lacks
            return [_dequantized(node, [inputs[name] for name in node.input if name])]
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(model).run(None, inputs)
        except (
            ValueError,
            TypeError,
            IndexError,
            RuntimeError,
            ArithmeticError,
            NotImplementedError,
        ) as error:
            raise IntakeError(limits.INVALID, f"{label} cannot be computed: {short(error)}") from None
        named = dict(zip([name for name in node.output if name], results, strict=True))
        return [_plain(named[name]) if name else np.zeros(0, np.float32) for name in node.output]


def shape_of(kind: onnx.TypeProto.Tensor) -> tuple[Dim, ...] | None:
    """Return what a type says of the shape, None for an unknown rank."""
    if not kind.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None) for dim in kind.shape.dim
    )


def _dequantized(node: onnx.NodeProto, inputs: list[tensors.Array]) -> tensors.Array:
    """Return (x - zero point) times the scale: per tensor, per axis, or per block."""
    x, scale, *zero_point = inputs
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    axis, block_size = attributes.get("axis", 1), attributes.get("block_size", 0)

    def along(parameter: tensors.Array) -> tensors.Array:
        if block_size:
            return np.repeat(parameter, block_size, axis)
        sizes = [1] * x.ndim
        if parameter.size > 1:
            sizes[axis] = -1
        return parameter.reshape(sizes)

    numbers = x.astype(np.float32)
    for point in zero_point:
        numbers = numbers - along(point).astype(np.float32)
    return numbers * along(scale).astype(np.float32)


def _plain(value: Any) -> tensors.Array:
    array: tensors.Array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def short(error: Exception) -> str:
    """Return the beginning of an error's message, in one line."""
    return " ".join(str(error).split())[:300]


def type_of(value: tensors.Array) -> onnx.TypeProto:
    """Return the ONNX type of an array."""
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def _constant_value(node: onnx.NodeProto) -> tensors.Array:
    attribute = node.attribute[0]
    if attribute.name == "value":
        return tensors.to_array(attribute.t)
    if attribute.name in ("value_float", "value_floats"):
        return np.asarray(helper.get_attribute_value(attribute), np.float32)
    if attribute.name in ("value_int", "value_ints"):
        return np.asarray(helper.get_attribute_value(attribute), np.int64)
    raise IntakeError(
        limits.INVALID, f"node {node.name!r}: constants of kind {attribute.name!r} are not supported"
    )

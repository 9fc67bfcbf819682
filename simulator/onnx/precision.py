"""All floating-point computation of a model as float32: the simulation computes in it.

A half-precision model would otherwise round differently at every node in every library; a double-precision
one gains nothing on hardware whose noise is a percent. Weights are written back in their own type.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto

from simulator.onnx import tensors

_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_WIDENED = (*_HALF, TensorProto.DOUBLE)


def uses_half(model: onnx.ModelProto) -> bool:
    """Whether any input, tensor or cast of the model is float16 or bfloat16."""
    if any(value.type.tensor_type.elem_type in _HALF for value in _declared_values(model)):
        return True
    if any(tensor.data_type in _HALF for _, tensor in tensors.tensors_of_model(model)):
        return True
    return any(attribute.i in _HALF for attribute in _type_attributes(model))


def uses_double(model: onnx.ModelProto) -> bool:
    """Whether any input or floating-point tensor of the model's graph is float64."""
    double = TensorProto.DOUBLE
    return any(value.type.tensor_type.elem_type == double for value in model.graph.input) or any(
        tensor.data_type == double and tensor.dims for tensor in model.graph.initializer
    )


def widen(model: onnx.ModelProto) -> None:
    """Turn each floating-point type of a model without functions into float32, in place."""
    for value in _declared_values(model):
        if value.type.tensor_type.elem_type in _WIDENED:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for _, tensor in tensors.tensors_of_model(model):
        if tensor.data_type in _WIDENED:
            wide = np.ascontiguousarray(tensors.to_array(tensor), np.float32).reshape(tensor.dims)
            tensor.CopyFrom(onnx.numpy_helper.from_array(wide, tensor.name))
    for attribute in _type_attributes(model):
        if attribute.i in _WIDENED:
            attribute.i = TensorProto.FLOAT


def _declared_values(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    inner = (graph for node in tensors.nodes_of_model(model) for graph in tensors.graphs_of_node(node))
    for graph in (model.graph, *inner):
        yield from graph.input
        yield from graph.output
        yield from graph.value_info


def _type_attributes(model: onnx.ModelProto) -> Iterator[onnx.AttributeProto]:
    """Yield the attributes that name an element type: where a cast goes, or what is made anew."""
    for node in tensors.nodes_of_graph(model.graph):
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "stash_type", "output_dtype", "softmax_precision"):
                yield attribute

"""ONNX tensors to numpy arrays, after the declared size was compared with the bytes that are there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from simulator.onnx import limits

Array = npt.NDArray[np.generic]

FLOAT_TYPES = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
}
DTYPES = FLOAT_TYPES | {
    TensorProto.BOOL: "bool",
    TensorProto.INT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16",  # of quantised numbers and their zero points
}
# Torch computes too little with wider unsigned integers for a network's inputs to be such.
OF_INPUTS = frozenset(DTYPES) - {TensorProto.UINT16}
_ITEM_BYTES = {name: 2 if name == "bfloat16" else np.dtype(name).itemsize for name in DTYPES.values()}
# The field that holds the numbers of a type when `raw_data` does not.
_TYPED_FIELD = {
    "float32": "float_data",
    "float64": "double_data",
    "int64": "int64_data",
}


def dtype_name(elem_type: int) -> str | None:
    """Return the numpy name of an ONNX element type, None for one that is not supported."""
    return DTYPES.get(elem_type)


def is_external(tensor: TensorProto) -> bool:
    """Whether the tensor's numbers are said to be in another file."""
    return tensor.data_location == TensorProto.EXTERNAL or bool(tensor.external_data)


def fault_of(tensor: TensorProto) -> str | None:
    """Return what is wrong with the tensor's type, dims or amount of data, None when nothing is."""
    name = dtype_name(tensor.data_type)
    if name is None:
        kinds = TensorProto.DataType.items()
        kind = next((key for key, value in kinds if value == tensor.data_type), str(tensor.data_type))
        return f"has the element type {kind}, which is not supported"
    if len(tensor.dims) > limits.RANK:
        return f"has {len(tensor.dims)} dimensions; at most {limits.RANK} are supported"
    if any(dim < 0 for dim in tensor.dims):
        return f"has a negative dimension: {list(tensor.dims)}"
    if tensor.HasField("segment"):
        return "is stored in segments, which is not supported"
    elements = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        have, need = len(tensor.raw_data), elements * _ITEM_BYTES[name]
        unit = "bytes"
    else:
        have, need = len(getattr(tensor, _TYPED_FIELD.get(name, "int32_data"))), elements
        unit = "numbers"
    if have != need:
        return f"declares the shape {list(tensor.dims)} ({need} {unit} of {name}) and holds {have} {unit}"
    return None


def to_array(tensor: TensorProto) -> Array:
    """Return the numbers of a tensor without fault; floating-point numbers of any width become float32."""
    array: Array = np.asarray(onnx.numpy_helper.to_array(tensor))
    return array.astype(np.float32) if tensor.data_type in FLOAT_TYPES else array


def _tensors_of_node(node: onnx.NodeProto) -> Iterator[tuple[str, TensorProto]]:
    for attribute in node.attribute:
        where = f"attribute {attribute.name!r} of node {node.name or node.op_type!r}"
        if attribute.HasField("t"):
            yield where, attribute.t
        for tensor in attribute.tensors:
            yield where, tensor
        if attribute.HasField("sparse_tensor"):
            yield from _tensors_of_sparse(attribute.sparse_tensor, where)
        for sparse in attribute.sparse_tensors:
            yield from _tensors_of_sparse(sparse, where)


def _tensors_of_sparse(sparse: onnx.SparseTensorProto, where: str) -> Iterator[tuple[str, TensorProto]]:
    yield f"sparse {where}", sparse.values
    yield f"sparse {where}", sparse.indices


def nodes_of_model(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes of a model: of its graph, of its functions, and of the graphs inside of nodes."""
    yield from nodes_of_graph(model.graph)
    for function in model.functions:
        yield from _with_inner(function.node)


def nodes_of_graph(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of the graphs inside of them."""
    yield from _with_inner(graph.node)


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in graphs_of_node(node):
            yield from nodes_of_graph(graph)


def graphs_of_node(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def tensors_of_model(model: onnx.ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield every tensor of a model, wherever it hides, with words that say where it is."""
    graphs = [model.graph]
    for training in model.training_info:
        graphs += [training.initialization, training.algorithm]
    training_nodes = chain.from_iterable(nodes_of_graph(graph) for graph in graphs[1:])
    for node in chain(nodes_of_model(model), training_nodes):
        graphs.extend(graphs_of_node(node))
        yield from _tensors_of_node(node)
    for graph in graphs:
        for tensor in graph.initializer:
            yield f"initialiser {tensor.name!r}", tensor
        for sparse in graph.sparse_initializer:
            yield from _tensors_of_sparse(sparse, f"initialiser {sparse.values.name!r}")

"""Small ONNX models written node by node."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def model_of(
    nodes, constants=None, *, inputs=None, outputs=None, opset=OPSET, functions=(), domains=(), ir=8
):
    """Return a model; inputs and outputs are `{name: (type, shape)}`, `x` and `y` by default."""
    inputs = inputs or {"x": (TensorProto.FLOAT, ["batch", 4])}
    outputs = outputs or {"y": (TensorProto.FLOAT, ["batch", "features"])}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(
        graph, opset_imports=opsets, functions=list(functions), ir_version=ir, producer_name="tests"
    )


def node(op, inputs, outputs, name="", domain="", **attributes):
    return helper.make_node(
        op, inputs, outputs, name=name or f"{op.lower()}_{outputs[0]}", domain=domain, **attributes
    )


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def dense(bias=True):
    """Return a model of one linear layer named fc."""
    constants = {"fc.weight": floats(3, 4)} | ({"fc.bias": floats(3, seed=1)} if bias else {})
    return model_of([node("Gemm", ["x", *constants], ["y"], transB=1)], constants)


def external(tensor: onnx.TensorProto, location="weights.bin", **entries):
    """Let a tensor keep its data in another file; returns the data."""
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return data


def image_network(height, width):
    """Two convolutions with strides, a pooling, and a layer behind the mean over all places."""
    nodes = [
        node("Conv", ["x", "first.weight"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["c", "second.weight"], ["d"], kernel_shape=[3, 3]),
        node("GlobalAveragePool", ["d"], ["e"]),
        node("Flatten", ["e"], ["f"]),
        node("Gemm", ["f", "head.weight"], ["y"], transB=1),
    ]
    weights = {
        "first.weight": floats(4, 3, 3, 3),
        "second.weight": floats(5, 4, 3, 3),
        "head.weight": floats(2, 5),
    }
    model = model_of(
        nodes, weights, inputs={"x": (1, ["batch", 3, height, width])}, outputs={"y": (1, ["batch", 2])}
    )
    return model.SerializeToString()

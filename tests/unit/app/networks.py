"""Small ONNX files and datasets, made by hand, for the tests of uploads."""

import io

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def mlp(seed=0, *, op="Relu", weight=None) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    weights = {
        "fc1.weight": rng.normal(size=(5, 4)).astype("float32") if weight is None else weight,
        "fc2.weight": rng.normal(size=(3, 5)).astype("float32"),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "fc1.weight"], ["h"], name="/fc1/Gemm", transB=1),
        helper.make_node(op, ["h"], ["a"], name="/act"),
        helper.make_node(op, ["a"], ["b"], name="/act_1"),
        helper.make_node("Gemm", ["b", "fc2.weight"], ["y"], name="/fc2/Gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9, producer_name="test"
    )


def mlp_bytes(seed=0) -> bytes:
    return mlp(seed).SerializeToString()


def with_external_data() -> bytes:
    model = mlp()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    return model.SerializeToString()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def dataset_arrays(train=12, test=6, seed=0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.normal(size=(train, 4)).astype("float32"),
        "y_train": np.arange(train) % 3,
        "x_test": rng.normal(size=(test, 4)).astype("float32"),
        "y_test": np.arange(test) % 3,
    }

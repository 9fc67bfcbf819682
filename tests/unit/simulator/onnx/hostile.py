"""Files that must be refused, each with the code that it gets. All are small; what they ask for is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from simulator.onnx import limits
from tests.unit.simulator.onnx.graphs import dense, external, floats, model_of, node

Maker = Callable[[], bytes]
HOSTILE: dict[str, tuple[str, Maker]] = {}
_INT = TensorProto.INT64


def refused(code: str) -> Callable[[Maker], Maker]:
    def register(make: Maker) -> Maker:
        HOSTILE[make.__name__.replace("_", " ").strip()] = (code, make)
        return make

    return register


def _bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString()


def _initialiser(model: onnx.ModelProto, name: str = "fc.weight") -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


# --- no ONNX at all -----------------------------------------------------------------------------------------


@refused(limits.NOT_ONNX)
def an_empty_file():
    return b""


@refused(limits.NOT_ONNX)
def a_png():
    return bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000") + bytes(64)


@refused(limits.NOT_ONNX)
def a_pickle():
    return b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94."


@refused(limits.NOT_ONNX)
def a_text():
    return b"import os; os.system('true')\n" * 20


@refused(limits.NOT_ONNX)
def a_truncated_file():
    return _bytes(dense())[:-20]


@refused(limits.NOT_ONNX)
def random_bytes():
    return np.random.default_rng(0).bytes(4096)


@refused(limits.NOT_ONNX)
def a_model_without_nodes():
    return _bytes(model_of([]))


@refused(limits.NOT_ONNX)
def a_model_without_opset():
    model = dense()
    model.ClearField("opset_import")
    return _bytes(model)


@refused(limits.NOT_ONNX)
def a_damaged_zip():
    return b"PK\x03\x04" + bytes(200)


# --- external data, wherever it hides -----------------------------------------------------------------------


@refused(limits.EXTERNAL_DATA)
def external_data_in_an_initialiser():
    model = dense()
    external(_initialiser(model))
    return _bytes(model)


@refused(limits.EXTERNAL_DATA)
def external_data_with_a_path_out_of_the_folder():
    model = dense()
    external(_initialiser(model), "../../../../etc/passwd")
    return _bytes(model)


@refused(limits.EXTERNAL_DATA)
def external_data_in_an_attribute():
    value = numpy_helper.from_array(floats(4, 3), "w")
    external(value)
    return _bytes(model_of([node("Constant", [], ["w"], value=value), node("MatMul", ["x", "w"], ["y"])]))


@refused(limits.EXTERNAL_DATA)
def external_data_in_a_function():
    value = numpy_helper.from_array(floats(4, 3), "w")
    external(value)
    body = [node("Constant", [], ["w"], value=value), node("MatMul", ["a", "w"], ["b"])]
    function = helper.make_function("local", "f", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    return _bytes(
        model_of([node("f", ["x"], ["y"], domain="local")], functions=[function], domains=["local"])
    )


@refused(limits.EXTERNAL_DATA)
def external_data_in_a_branch():
    value = numpy_helper.from_array(floats(1, 4), "w")
    external(value)
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 4])
    branch = helper.make_graph([node("Identity", ["w"], ["b"])], "branch", [], [out], [value])
    condition = {"condition": np.array([True])[0]}
    choice = node("If", ["condition"], ["c"], then_branch=branch, else_branch=branch)
    return _bytes(model_of([choice, node("Add", ["x", "c"], ["y"])], condition))


@refused(limits.EXTERNAL_DATA)
def external_data_in_a_sparse_tensor():
    model = dense()
    values = numpy_helper.from_array(floats(2), "sparse")
    external(values)
    indices = numpy_helper.from_array(np.array([0, 1]), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    return _bytes(model)


# --- operators ----------------------------------------------------------------------------------------------


@refused(limits.UNSUPPORTED_OPERATOR)
def an_operator_that_is_not_supported():
    return _bytes(model_of([node("Det", ["x"], ["y"])], inputs={"x": (TensorProto.FLOAT, [2, 2])}))


@refused(limits.UNSUPPORTED_OPERATOR)
def an_operator_that_does_not_exist():
    return _bytes(model_of([node("Frobnicate", ["x"], ["y"])]))


@refused(limits.UNSUPPORTED_OPERATOR)
def a_custom_domain():
    return _bytes(model_of([node("Relu", ["x"], ["y"], domain="com.microsoft")], domains=["com.microsoft"]))


@refused(limits.UNSUPPORTED_OPERATOR)
def a_branch():
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
    branch = helper.make_graph([node("Identity", ["x"], ["b"])], "branch", [], [out])
    nodes = [
        node("ReduceMax", ["x"], ["largest"], keepdims=0),
        node("Greater", ["largest", "zero"], ["condition"]),
        node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch),
    ]
    return _bytes(model_of(nodes, {"zero": np.float32(0)}))


@refused(limits.UNSUPPORTED_OPERATOR)
def an_endless_loop():
    inputs = [
        helper.make_tensor_value_info("i", _INT, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
    ]
    outputs = [helper.make_tensor_value_info("again", TensorProto.BOOL, [])]
    carried = helper.make_tensor_value_info("a", TensorProto.FLOAT, [4])
    result = helper.make_tensor_value_info("b", TensorProto.FLOAT, [4])
    body = helper.make_graph(
        [node("Identity", ["go"], ["again"]), node("Relu", ["a"], ["b"])],
        "body",
        [*inputs, carried],
        [*outputs, result],
    )
    return _bytes(model_of([node("Loop", ["", "go", "x"], ["y"], body=body)], {"go": np.array([True])[0]}))


@refused(limits.UNSUPPORTED_OPERATOR)
def random_numbers():
    return _bytes(model_of([node("RandomNormalLike", ["x"], ["r"]), node("Add", ["x", "r"], ["y"])]))


@refused(limits.UNSUPPORTED_OPERATOR)
def an_lstm_with_peepholes():
    constants = {"w": floats(1, 8, 4), "r": floats(1, 8, 2), "b": floats(1, 16), "p": floats(1, 6)}
    lstm = node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], ["y"], hidden_size=2)
    return _bytes(
        model_of(
            [lstm], constants, inputs={"x": (TensorProto.FLOAT, [3, 2, 4])}, outputs={"y": (1, [3, 1, 2, 2])}
        )
    )


@refused(limits.UNSUPPORTED_OPERATOR)
def strings():
    value = helper.make_tensor("words", TensorProto.STRING, [2], [b"a", b"b"])
    return _bytes(
        model_of(
            [node("Constant", [], ["w"], value=value), node("StringConcat", ["w", "w"], ["y"])], opset=20
        )
    )


# --- numbers ------------------------------------------------------------------------------------------------


def _dense_with(number: float) -> bytes:
    weight = floats(3, 4)
    weight[1, 2] = number
    return _bytes(model_of([node("Gemm", ["x", "fc.weight"], ["y"], transB=1)], {"fc.weight": weight}))


@refused(limits.NON_FINITE_WEIGHTS)
def a_weight_that_is_nan():
    return _dense_with(float("nan"))


@refused(limits.NON_FINITE_WEIGHTS)
def a_weight_that_is_infinite():
    return _dense_with(float("inf"))


@refused(limits.NON_FINITE_WEIGHTS)
def a_half_precision_nan():
    weight = np.full((4, 3), np.nan, np.float16)
    inputs, outputs = {"x": (TensorProto.FLOAT16, ["n", 4])}, {"y": (TensorProto.FLOAT16, ["n", 3])}
    return _bytes(
        model_of([node("MatMul", ["x", "w"], ["y"])], {"w": weight}, inputs=inputs, outputs=outputs)
    )


# --- tensors that contradict themselves ---------------------------------------------------------------------


def _dense_with_dims(*dims: int) -> bytes:
    model = dense()
    del _initialiser(model).dims[:]
    _initialiser(model).dims.extend(dims)
    return _bytes(model)


@refused(limits.INVALID)
def dims_that_are_negative():
    return _dense_with_dims(-3, -4)


@refused(limits.INVALID)
def dims_larger_than_the_data():
    return _dense_with_dims(3000, 4000)


@refused(limits.INVALID)
def dims_smaller_than_the_data():
    return _dense_with_dims(3, 1)


@refused(limits.INVALID)
def dims_whose_product_overflows():
    return _dense_with_dims(2**32, 2**32, 2**32)


@refused(limits.INVALID)
def too_many_dims():
    return _dense_with_dims(*[1] * 40, 12)


@refused(limits.INVALID)
def an_element_type_that_does_not_exist():
    model = dense()
    _initialiser(model).data_type = 99
    return _bytes(model)


@refused(limits.INVALID)
def a_string_initialiser():
    model = dense()
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"a"]))
    return _bytes(model)


@refused(limits.INVALID)
def a_string_input():
    return _bytes(model_of([node("Identity", ["x"], ["y"])], inputs={"x": (TensorProto.STRING, [1])}))


@refused(limits.INVALID)
def a_sparse_initialiser():
    model = dense()
    values, indices = numpy_helper.from_array(floats(2), "s"), numpy_helper.from_array(np.array([0, 1]), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    return _bytes(model)


# --- graphs that contradict themselves ----------------------------------------------------------------------


@refused(limits.INVALID)
def opset_1():
    return _bytes(model_of([node("Relu", ["x"], ["y"])], opset=1))


@refused(limits.INVALID)
def opset_99():
    return _bytes(model_of([node("Relu", ["x"], ["y"])], opset=99))


@refused(limits.INVALID)
def a_cycle():
    return _bytes(
        model_of([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])])
    )


@refused(limits.INVALID)
def a_name_that_nothing_gives():
    return _bytes(model_of([node("Add", ["x", "nowhere"], ["y"])]))


@refused(limits.INVALID)
def a_name_that_two_nodes_give():
    return _bytes(model_of([node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])]))


@refused(limits.INVALID)
def two_initialisers_of_one_name():
    model = dense()
    model.graph.initializer.append(_initialiser(model))
    return _bytes(model)


@refused(limits.INVALID)
def an_output_that_nothing_gives():
    return _bytes(model_of([node("Relu", ["x"], ["h"])]))


@refused(limits.INVALID)
def an_output_that_is_constant():
    return _bytes(model_of([node("Relu", ["w"], ["y"])], {"w": floats(2, 3)}))


@refused(limits.INVALID)
def shapes_that_do_not_fit():
    return _bytes(model_of([node("MatMul", ["x", "w"], ["y"])], {"w": floats(7, 3)}))


@refused(limits.INVALID)
def a_function_that_is_missing():
    model = model_of([node("Relu", ["x", "x", "x"], ["y"])])
    return _bytes(model)


# --- tiny files that ask for very much ----------------------------------------------------------------------


def _constant_of(op: str, *, constants: dict[str, np.ndarray], inputs: list[str], **attributes) -> bytes:
    return _bytes(
        model_of([node(op, inputs, ["big"], **attributes), node("Add", ["x", "big"], ["y"])], constants)
    )


@refused(limits.TOO_COMPLEX)
def a_constant_of_terabytes():
    return _constant_of("ConstantOfShape", constants={"s": np.array([2**20, 2**20])}, inputs=["s"])


@refused(limits.TOO_COMPLEX)
def an_expand_to_terabytes():
    constants = {"w": floats(1), "s": np.array([2**20, 2**20])}
    return _constant_of("Expand", constants=constants, inputs=["w", "s"])


@refused(limits.TOO_COMPLEX)
def a_tile_to_terabytes():
    constants = {"w": floats(1, 1), "s": np.array([2**20, 2**20])}
    return _constant_of("Tile", constants=constants, inputs=["w", "s"])


@refused(limits.TOO_COMPLEX)
def a_pad_to_terabytes():
    constants = {"w": floats(1, 1), "p": np.array([0, 0, 2**20, 2**20])}
    return _constant_of("Pad", constants=constants, inputs=["w", "p"])


@refused(limits.TOO_COMPLEX)
def a_range_of_terabytes():
    constants = {"a": np.array(0), "b": np.array(2**40), "c": np.array(1)}
    model = model_of(
        [
            node("Range", ["a", "b", "c"], ["big"]),
            node("Cast", ["big"], ["f"], to=1),
            node("Add", ["x", "f"], ["y"]),
        ],
        constants,
        outputs={"y": (1, ["n", "m"])},
    )
    return _bytes(model)


@refused(limits.TOO_COMPLEX)
def an_outer_sum_of_terabytes():
    constants = {"a": floats(2**14, 1), "b": floats(1, 2**14)}
    return _constant_of("Add", constants=constants, inputs=["a", "b"])


_IMAGE = {"x": (TensorProto.FLOAT, ["batch", 1, 8, 8])}
_IMAGES = {"y": (TensorProto.FLOAT, ["batch", 1, "h", "w"])}


@refused(limits.TOO_COMPLEX)
def a_convolution_with_huge_pads():
    conv = node("Conv", ["x", "w"], ["y"], pads=[2**20] * 4)
    return _bytes(model_of([conv], {"w": floats(1, 1, 3, 3)}, inputs=_IMAGE, outputs=_IMAGES))


@refused(limits.TOO_COMPLEX)
def a_resize_to_terabytes():
    constants = {"r": np.zeros(0, np.float32), "s": np.array([1, 1, 2**20, 2**20], np.float32)}
    return _bytes(
        model_of([node("Resize", ["x", "r", "s"], ["y"])], constants, inputs=_IMAGE, outputs=_IMAGES)
    )


@refused(limits.TOO_COMPLEX)
def a_pad_of_an_activation_to_terabytes():
    constants = {"p": np.array([0, 0, 0, 0, 0, 0, 2**20, 2**20])}
    return _bytes(model_of([node("Pad", ["x", "p"], ["y"])], constants, inputs=_IMAGE, outputs=_IMAGES))


@refused(limits.TOO_COMPLEX)
def an_expand_of_an_activation_to_terabytes():
    constants = {"s": np.array([1, 2**20, 2**20, 1])}
    inputs = {"x": (TensorProto.FLOAT, ["batch", 1, 1, 8])}
    return _bytes(
        model_of(
            [node("Expand", ["x", "s"], ["y"])], constants, inputs=inputs, outputs={"y": (1, list("abcd"))}
        )
    )


@refused(limits.TOO_COMPLEX)
def functions_that_grow_exponentially():
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions, previous = [], ("Relu", "")
    for level in range(18):
        op, domain = previous
        body = [node(op, ["a"], ["m"], domain=domain), node(op, ["m"], ["b"], domain=domain)]
        functions.append(helper.make_function("local", f"f{level}", ["a"], ["b"], body, opsets))
        previous = (f"f{level}", "local")
    return _bytes(
        model_of([node("f17", ["x"], ["y"], domain="local")], functions=functions, domains=["local"])
    )


@refused(limits.TOO_COMPLEX)
def a_function_that_calls_itself():
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function(
        "local", "f", ["a"], ["b"], [node("f", ["a"], ["b"], domain="local")], opsets
    )
    return _bytes(
        model_of([node("f", ["x"], ["y"], domain="local")], functions=[function], domains=["local"])
    )


@refused(limits.TOO_COMPLEX)
def too_many_nodes():
    names = ["x", *(f"h{i}" for i in range(limits.NODES)), "y"]
    return _bytes(model_of([node("Relu", [a], [b]) for a, b in pairwise(names)]))


@refused(limits.TOO_COMPLEX)
def ten_megabytes_of_empty_nodes():
    model = dense()
    graph = model.graph.SerializeToString() + b"\x0a\x00" * (5 << 20)
    model.ClearField("graph")
    return model.SerializeToString() + b"\x3a" + _varint(len(graph)) + graph


@refused(limits.TOO_COMPLEX)
def empty_attributes_in_one_node():
    entry = helper.make_node("Relu", ["x"], ["y"]).SerializeToString() + b"\x2a\x00" * (1 << 20)
    graph = b"\x0a" + _varint(len(entry)) + entry
    return model_of([]).SerializeToString() + b"\x3a" + _varint(len(graph)) + graph


@refused(limits.TOO_COMPLEX)
def graphs_nested_very_deep():
    graph = b""
    for _ in range(200):  # graph > node > attribute > graph
        attribute = b"\x32" + _varint(len(graph)) + graph
        entry = b"\x2a" + _varint(len(attribute)) + attribute
        graph = b"\x0a" + _varint(len(entry)) + entry
    return b"\x08\x08\x3a" + _varint(len(graph)) + graph


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])

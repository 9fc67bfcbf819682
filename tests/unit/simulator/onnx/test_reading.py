"""What files of other converters hold, and what is said of what cannot be read."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from simulator.intake import IntakeError
from simulator.onnx import import_model, inspect_model, limits, verify_import
from tests.cases import case
from tests.unit.simulator.onnx.graphs import dense, external, floats, model_of, node


def refusal(data: bytes) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        inspect_model(data)
    return caught.value


@pytest.mark.parametrize("size", [-1, 0])
def test_an_open_size_may_be_written_as_a_number_below_one(size):
    model = dense()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    report = inspect_model(model.SerializeToString())
    assert report["inputs"][0]["shape"] == [None, 4]
    assert report["warnings"] == []
    assert verify_import(model.SerializeToString()).state == "passed"


def test_a_file_of_an_older_converter_is_read():
    assert inspect_model(case("dim-minus-one.onnx"))["inputs"][0]["shape"] == [None, 8]


def test_an_input_without_a_shape_is_named_with_what_to_do():
    (fault,) = refusal(case("no-shape.onnx")).faults
    assert "'x'" in fault.message
    assert "make_tensor_value_info('x'" in fault.hint


def test_the_shape_of_an_output_is_inferred_where_it_is_missing():
    model = dense()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert inspect_model(model.SerializeToString())["outputs"][0]["shape"] == ["batch", 3]


def test_a_model_without_outputs_is_refused():
    model = dense()
    del model.graph.output[:]
    assert "no outputs" in refusal(model.SerializeToString()).message


def test_external_data_of_training_is_found_too():
    model = dense()
    training = model.training_info.add()
    training.initialization.initializer.add().CopyFrom(model.graph.initializer[0])
    external(training.initialization.initializer[0])
    assert refusal(model.SerializeToString()).code == limits.EXTERNAL_DATA


@pytest.mark.parametrize("part", ["initializer", "node"])
def test_a_name_that_is_no_text_is_told(part):
    data = dense().SerializeToString()
    name = {"initializer": b"fc.weight", "node": b"gemm_y"}[part]
    error = refusal(data.replace(name, b"\xff" + name[1:]))
    assert error.code == limits.INVALID
    assert "UTF-8" in error.message
    assert "\\xff" in error.message


def test_doubles_are_warned_of():
    model = model_of(
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": floats(4, 3).astype(np.float64)},
        inputs={"x": (TensorProto.DOUBLE, ["batch", 4])},
        outputs={"y": (TensorProto.DOUBLE, ["batch", 3])},
    )
    assert [warning["code"] for warning in inspect_model(model.SerializeToString())["warnings"]] == [
        "double_precision"
    ]


@pytest.mark.parametrize("mebibytes", [2048, 4096])
def test_the_limit_of_memory_that_is_told_is_the_one_that_holds(mebibytes):
    program = (
        "import sys; from simulator import intake\n"
        f"intake.limit_this_process({mebibytes} << 20)\n"
        "def read(): raise MemoryError\n"
        "sys.exit(intake.answer(read, too_large='too_large'))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"more than {mebibytes} MiB" in ran.stdout


RECURRENT = {
    "RNN": (["Tanh"], ["Relu"]),
    "GRU": (["Sigmoid", "Tanh"],),
    "LSTM": (["Sigmoid", "Tanh", "Tanh"],),
}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("opset", [9, 14, 22])
@pytest.mark.parametrize(("op", "activations"), [(op, one) for op, each in RECURRENT.items() for one in each])
def test_recurrent_layers_that_state_their_activations_are_read(op, activations, opset, direction):
    directions = 2 if direction == "bidirectional" else 1
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    constants = {
        "w": floats(directions, gates * 5, 4),
        "r": floats(directions, gates * 5, 5, seed=1) * 0.4,
        "b": floats(directions, gates * 10, seed=2),
    }
    more = {"linear_before_reset": 1} if op == "GRU" else {}
    cell = helper.make_node(
        op,
        ["x", "w", "r", "b"],
        ["y"],
        hidden_size=5,
        direction=direction,
        activations=activations * directions,
        **more,
    )
    model = model_of(
        [cell],
        constants,
        inputs={"x": (TensorProto.FLOAT, [7, "batch", 4])},
        outputs={"y": (TensorProto.FLOAT, [7, directions, "batch", 5])},
        opset=opset,
    ).SerializeToString()
    module = import_model(model, any_batch=False).module
    x = floats(7, 3, 4, seed=3)
    import onnxruntime

    (expected,) = onnxruntime.InferenceSession(model).run(None, {"x": x})
    with torch.no_grad():
        found = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found.reshape(-1), expected.reshape(-1), atol=1e-5)


def test_other_activations_are_named():
    weights = {"w": floats(1, 5, 4), "r": floats(1, 5, 5)}
    cell = node("RNN", ["x", *weights], ["y"], hidden_size=5, activations=["Softsign"])
    error = refusal(
        model_of(
            [cell],
            weights,
            inputs={"x": (TensorProto.FLOAT, ["time", "batch", 4])},
            outputs={"y": (TensorProto.FLOAT, ["time", 1, "batch", 5])},
        ).SerializeToString()
    )
    assert "other activation functions" in error.faults[0].message


def test_attributes_of_strings_are_words():
    from simulator.onnx.building import _attribute_value

    attribute = onnx.helper.make_attribute("activations", ["Sigmoid", "Tanh"])
    assert _attribute_value(attribute) == ["Sigmoid", "Tanh"]


WHOLE = {
    "int8": (TensorProto.INT8, np.int8),
    "int32": (TensorProto.INT32, np.int32),
    "int64": (TensorProto.INT64, np.int64),
    "float32": (TensorProto.FLOAT, np.float32),
}


@pytest.mark.parametrize("weight", WHOLE)
@pytest.mark.parametrize("x", WHOLE)
@pytest.mark.parametrize("opset", [9, 13, 22])
def test_a_product_is_judged_at_upload_as_it_is_when_it_runs(x, weight, opset):
    kind = WHOLE[x][0]
    data = model_of(
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": np.arange(12).reshape(4, 3).astype(WHOLE[weight][1])},
        inputs={"x": (kind, ["batch", 4])},
        outputs={"y": (kind, ["batch", 3])},
        opset=opset,
    ).SerializeToString()
    if x == weight and x != "int8":
        assert verify_import(data).state == "passed"
        assert bool(inspect_model(data)["layers"]) == (x == "float32")
    else:
        error = refusal(data)
        assert error.code == limits.INVALID
        assert "MatMul" in error.message
        assert "DequantizeLinear" in error.faults[0].hint


def test_an_embedding_is_built_without_the_compiler_of_torch(tmp_path):
    model = model_of(
        [node("Gather", ["table.weight", "x"], ["y"])],
        {"table.weight": floats(10, 3)},
        inputs={"x": (TensorProto.INT64, ["batch", 4])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 4, 3])},
    )
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    program = (
        "import sys, pathlib; from simulator.onnx import import_model\n"
        f"module = import_model(pathlib.Path({str(tmp_path / 'model.onnx')!r}).read_bytes()).module\n"
        "print(module.table, [name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "Embedding(10, 3) []"


def test_types_that_nothing_runs_together_are_refused_at_upload():
    # As the older exporter writes x.clamp(0, n) of whole numbers below opset 12.
    model = model_of(
        [node("Clip", ["x", "low", "high"], ["c"]), node("Gather", ["table", "c"], ["y"])],
        {"low": np.float32(0), "high": np.float32(3), "table": floats(4, 3)},
        inputs={"x": (TensorProto.INT64, ["batch"])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 3])},
        opset=11,
    )
    (fault,) = refusal(model.SerializeToString()).faults
    assert "Clip" in fault.message
    assert "newer opset" in fault.hint


def looked_up():
    """A network that gives the rows of a table of four."""
    return model_of(
        [node("Gather", ["table", "x"], ["y"])],
        {"table": floats(4, 3)},
        inputs={"x": (TensorProto.INT64, ["batch"])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 3])},
    )


def test_negative_indices_of_an_embedding_count_from_the_end():
    module = import_model(looked_up().SerializeToString()).module
    assert isinstance(module.table, torch.nn.Embedding)
    assert torch.equal(module(torch.tensor([-1, -4, 2])), module(torch.tensor([3, 0, 2])))


@pytest.mark.parametrize("index", [4, -5, 2**40])
def test_an_index_without_a_row_is_named_with_the_rows_that_there_are(index):
    module = import_model(looked_up().SerializeToString()).module
    with pytest.raises(IntakeError, match=f"{index}.*has 4 rows") as refused:
        module(torch.tensor([0, index]))
    assert refused.value.code == "index_out_of_range"

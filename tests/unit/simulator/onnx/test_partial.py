"""What is known of values with an open size, and the branches that are taken because of it."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from simulator.intake import IntakeError
from simulator.onnx import export_model, import_model, inspect_model, limits, verify_import
from simulator.onnx.building import build_graph
from simulator.onnx.reading import read_model
from tests.cases import case
from tests.unit.simulator.onnx.graphs import floats, model_of, node
from tests.unit.simulator.onnx.test_verify_inputs import exported

CASES = ["gru-partial-shape.onnx", "weight-shape-from-dim.onnx", "if-constant.onnx"]


@pytest.mark.parametrize("name", CASES)
def test_files_of_exporters_are_read(name):
    data = case(name)
    assert verify_import(data).state == "passed"
    assert inspect_model(data)["layers"][0]["kind"] == "analog"
    imported = import_model(data)
    with torch.no_grad():
        for parameter in imported.module.parameters():
            parameter.mul_(1.5)
    again = export_model(imported, imported.module)
    onnx.checker.check_model(onnx.ModelProto.FromString(again))
    assert verify_import(again).state == "passed"
    shape = [2, *(size for size in imported.inputs[0].shape[1:] if isinstance(size, int))]
    x = floats(*shape)
    (expected,) = onnxruntime.InferenceSession(again).run(None, {"x": x})
    with torch.no_grad():
        np.testing.assert_allclose(imported.module(torch.from_numpy(x)), expected, atol=1e-5)


class Recurrent(nn.Module):
    def __init__(self, cell, **more):
        super().__init__()
        self.cell = cell(6, 5, batch_first=True, **more)
        self.head = nn.Linear(5 * (2 if more.get("bidirectional") else 1), 3)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


@pytest.mark.slow
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("opset", [18, 22])
@pytest.mark.parametrize(
    ("cell", "more"),
    [
        (nn.GRU, {}),
        (nn.LSTM, {}),
        (nn.RNN, {}),
        (nn.GRU, {"bidirectional": True}),
        (nn.LSTM, {"num_layers": 2}),
    ],
)
def test_recurrent_networks_of_the_newer_exporter_keep_an_open_batch(cell, more, opset, optimize):
    data = exported(
        Recurrent(cell, **more),
        torch.randn(2, 7, 6),
        dynamo=True,
        opset_version=opset,
        optimize=optimize,
        external_data=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    report = inspect_model(data)
    assert report["inputs"][0]["shape"][0] == "batch"
    if cell is not nn.RNN:  # which the exporter writes out, step by step
        operators = [cell.__name__] * more.get("num_layers", 1) + ["Linear"]
        assert [layer["op"] for layer in report["layers"]] == operators
    assert verify_import(data).state == "passed"


def folded(nodes, constants, shape, opset=17):
    """Return what is known of `found` that nodes compute from `s`, the shape of x."""
    begin = [node("Shape", ["x"], ["s"])]
    end = [
        node("Cast", ["found"], ["f"], to=TensorProto.FLOAT),
        node("ReduceSum", ["x"], ["r"], keepdims=0),
        node("Add", ["f", "r"], ["y"]),
    ]
    model = model_of(
        [*begin, *nodes, *end],
        {name: np.array(value) for name, value in constants.items()},
        inputs={"x": (TensorProto.FLOAT, shape)},
        outputs={"y": (TensorProto.FLOAT, None)},
        opset=opset,
    )
    found = build_graph(read_model(model.SerializeToString())).constants.get("found")
    return None if found is None else found.tolist()


OPEN = [1, "batch", 24, 7]


@pytest.mark.parametrize(
    ("nodes", "constants", "known"),
    [
        ([node("Gather", ["s", "i"], ["found"])], {"i": 2}, 24),
        ([node("Gather", ["s", "i"], ["found"])], {"i": -1}, 7),
        ([node("Gather", ["s", "i"], ["found"])], {"i": 1}, None),
        ([node("Gather", ["s", "i"], ["found"])], {"i": [3, 0]}, [7, 1]),
        ([node("Slice", ["s", "a", "b"], ["found"])], {"a": [2], "b": [4]}, [24, 7]),
        ([node("Slice", ["s", "a", "b"], ["found"])], {"a": [1], "b": [4]}, None),
        (
            [node("Slice", ["s", "a", "b", "c", "d"], ["found"])],
            {"a": [0], "b": [9], "c": [0], "d": [2]},
            [1, 24],
        ),
        (
            [
                node("Gather", ["s", "i"], ["d"]),
                node("Mul", ["d", "m"], ["e"]),
                node("Div", ["e", "k"], ["found"]),
            ],
            {"i": 2, "m": 3, "k": 5},
            14,
        ),
        (
            [
                node("Gather", ["s", "i"], ["d"]),
                node("Unsqueeze", ["d", "z"], ["e"]),
                node("Concat", ["e", "m"], ["f0"], axis=0),
                node("Gather", ["f0", "one"], ["found"]),
            ],
            {"i": 1, "z": [0], "m": [-1], "one": 1},
            -1,
        ),
        ([node("Gather", ["s", "i"], ["d"]), node("Equal", ["d", "k"], ["found"])], {"i": 2, "k": 24}, True),
        ([node("Gather", ["s", "i"], ["d"]), node("Equal", ["d", "k"], ["found"])], {"i": 1, "k": 24}, None),
        ([node("Gather", ["s", "i"], ["d"]), node("Greater", ["d", "k"], ["found"])], {"i": 1, "k": 0}, None),
        ([node("Size", ["s"], ["found"])], {}, 4),
        ([node("Size", ["x"], ["found"])], {}, None),
        (
            [
                node("Slice", ["s", "a", "b"], ["d"]),
                node("ReduceProd", ["d"], ["found"], keepdims=0),
            ],
            {"a": [2], "b": [4]},
            168,
        ),
        (
            [
                node("Equal", ["s", "m"], ["e"]),
                node("Where", ["w", "s", "m"], ["g"]),
                node("Gather", ["g", "i"], ["found"]),
            ],
            {"m": [-1, -1, -1, -1], "w": [True, False, True, True], "i": 1},
            -1,
        ),
        (
            [
                node("Gather", ["s", "i"], ["d"]),
                node("Reshape", ["d", "m"], ["e"]),
                node("Squeeze", ["e"], ["found"]),
            ],
            {"i": 3, "m": [-1]},
            7,
        ),
        (
            [node("Gather", ["s", "i"], ["d"]), node("Cast", ["d"], ["found"], to=TensorProto.INT32)],
            {"i": 2},
            24,
        ),
    ],
)
def test_what_is_known_of_a_partly_open_shape_is_kept(nodes, constants, known):
    assert folded(nodes, constants, OPEN) == known


@pytest.mark.parametrize(
    ("start", "end", "known"), [(2, 3, [24]), (-2, None, [24, 7]), (0, 1, [1]), (1, 3, None)]
)
def test_a_part_of_a_shape_is_known_where_its_sizes_are(start, end, known):
    attributes = {"start": start} | ({} if end is None else {"end": end})
    assert folded([node("Shape", ["x"], ["found"], **attributes)], {}, OPEN) == known


def graph_of(nodes, outputs, constants=None):
    return helper.make_graph(
        nodes,
        "branch",
        [],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )


def branching(condition, then_branch, else_branch, constants, **options):
    nodes = [*condition, node("If", ["c"], ["y"], then_branch=then_branch, else_branch=else_branch)]
    return model_of(nodes, constants, outputs={"y": (TensorProto.FLOAT, ["batch", "n"])}, **options)


ON_A_SIZE = [
    node("Shape", ["x"], ["s"]),
    node("Gather", ["s", "one"], ["d"]),
    node("Equal", ["d", "four"], ["c"]),
]
SIZES = {"one": np.array(1), "four": np.array(4)}


@pytest.mark.parametrize("opset", [11, 13, 17, 22])
@pytest.mark.parametrize("taken", [True, False])
def test_an_if_on_a_known_size_is_the_branch_that_is_taken(taken, opset):
    one = graph_of(
        [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["a"])], ["a"], {"w": floats(4, 3)}
    )
    other = graph_of([node("Det", ["x"], ["h"])], ["h"])  # not supported, and never run
    model = branching(
        ON_A_SIZE,
        one if taken else other,
        other if taken else one,
        SIZES | {"four": np.array(4 if taken else 5)},
        opset=opset,
    )
    data = model.SerializeToString()
    assert [layer["op"] for layer in inspect_model(data)["layers"]] == ["Linear"]
    imported = import_model(data)
    x = floats(5, 4)
    with torch.no_grad():
        np.testing.assert_allclose(
            imported.module(torch.from_numpy(x)), np.maximum(x @ floats(4, 3), 0), atol=1e-5
        )
        for parameter in imported.module.parameters():
            parameter.mul_(2.0)
        again = import_model(export_model(imported, imported.module))
        np.testing.assert_allclose(
            again.module(torch.from_numpy(x)), 2 * np.maximum(x @ floats(4, 3), 0), atol=1e-5
        )


def test_branches_inside_of_branches_are_taken():
    inner = node(
        "If",
        ["c"],
        ["i"],
        then_branch=graph_of([node("MatMul", ["h", "v"], ["h2"])], ["h2"], {"v": floats(3, 2, seed=1)}),
        else_branch=graph_of([node("Identity", ["h"], ["h3"])], ["h3"]),
    )
    one = graph_of(
        [node("MatMul", ["x", "w"], ["h"]), inner, node("Relu", ["i"], ["o"])], ["o"], {"w": floats(4, 3)}
    )
    other = graph_of([node("Identity", ["x"], ["e"])], ["e"])
    data = branching(ON_A_SIZE, one, other, SIZES).SerializeToString()
    x = floats(5, 4)
    with torch.no_grad():
        found = import_model(data).module(torch.from_numpy(x))
    np.testing.assert_allclose(found, np.maximum(x @ floats(4, 3) @ floats(3, 2, seed=1), 0), atol=1e-5)
    assert verify_import(data).state == "passed"


def test_two_branches_may_use_the_same_names():
    def layer(w):
        return graph_of([node("MatMul", ["x" if w == "w0" else "m", w], ["h"])], ["h"])

    nodes = [
        *ON_A_SIZE,
        node(
            "If",
            ["c"],
            ["m"],
            then_branch=layer("w0"),
            else_branch=graph_of([node("Identity", ["x"], ["h"])], ["h"]),
        ),
        node(
            "If",
            ["c"],
            ["y"],
            then_branch=layer("w1"),
            else_branch=graph_of([node("Identity", ["m"], ["h"])], ["h"]),
        ),
    ]
    constants = SIZES | {"w0": floats(4, 4), "w1": floats(4, 3, seed=1)}
    data = model_of(nodes, constants, outputs={"y": (1, ["batch", 3])}).SerializeToString()
    x = floats(5, 4)
    with torch.no_grad():
        found = import_model(data).module(torch.from_numpy(x))
    np.testing.assert_allclose(found, x @ constants["w0"] @ constants["w1"], atol=1e-5)


def test_a_branch_may_hand_on_a_value_from_around_it():
    data = branching(
        [*ON_A_SIZE, node("MatMul", ["x", "w"], ["h"])],
        graph_of([node("Identity", ["h"], ["h1"])], ["h1"]),
        graph_of([node("Identity", ["x"], ["e"])], ["e"]),
        SIZES | {"w": floats(4, 3)},
    )
    assert verify_import(data.SerializeToString()).state == "passed"


def test_an_if_on_the_batch_is_refused_with_what_to_do():
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["d"]),
        node("Equal", ["d", "four"], ["c"]),
    ]
    branch = graph_of([node("Relu", ["x"], ["h"])], ["h"])
    other = graph_of([node("Identity", ["x"], ["h"])], ["h"])
    data = branching(nodes, branch, other, SIZES | {"zero": np.array(0)}).SerializeToString()
    with pytest.raises(IntakeError) as caught:
        inspect_model(data)
    assert caught.value.code == limits.UNSUPPORTED_OPERATOR
    assert "depends on the input" in caught.value.faults[0].message
    assert caught.value.faults[0].hint


def test_what_is_unsupported_in_the_branch_that_is_taken_is_refused():
    other = graph_of([node("Identity", ["x"], ["h"])], ["h"])
    data = branching(
        ON_A_SIZE, graph_of([node("Det", ["x"], ["h"])], ["h"]), other, SIZES
    ).SerializeToString()
    with pytest.raises(IntakeError, match="Det"):
        inspect_model(data)


class Squeezing(nn.Module):
    """Asks for ranks and sizes, as scripted code does."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() == 3:
            x = x.squeeze(1)
        if x.size(1) != 4:
            x = x[:, :4]
        return self.head(x)


@pytest.mark.parametrize("shape", [(2, 1, 4), (2, 4), (2, 6)])
@pytest.mark.parametrize("opset", [11, 13, 17])
def test_scripted_code_that_asks_for_ranks_is_read(shape, opset):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch.jit.script(Squeezing().eval()),
            (torch.zeros(shape),),
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "batch"}},
        )
    assert verify_import(buffer.getvalue()).state == "passed"

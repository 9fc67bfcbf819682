from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from simulator.onnx import export_model, import_model, inspect_model, verify_import
from tests.unit.simulator.onnx.graphs import floats, model_of, node

HALF, ONE = np.float32(0.5), np.float32(1)


def became(model):
    return [entry["op"] for entry in inspect_model(model.SerializeToString(), nodes=True)["nodes"]]


def layer_norm(*, square="Pow", bias=True, epsilon=1e-6, axis=-1):
    constants = {
        "two": np.float32(2),
        "eps": np.float32(epsilon),
        "norm.weight": floats(4),
        "norm.bias": floats(4, seed=1),
    }
    nodes = [
        node("ReduceMean", ["x"], ["mean"], axes=[axis]),
        node("Sub", ["x", "mean"], ["c"]),
        node("Pow", ["c", "two"], ["s"]) if square == "Pow" else node("Mul", ["c", "c"], ["s"]),
        node("ReduceMean", ["s"], ["v"], axes=[axis]),
        node("Add", ["v", "eps"], ["ve"]),
        node("Sqrt", ["ve"], ["d"]),
        node("Div", ["c", "d"], ["n"]),
        node("Mul", ["norm.weight", "n"], ["a" if bias else "y"]),
    ]
    if bias:
        nodes.append(node("Add", ["a", "norm.bias"], ["y"]))
    return model_of(nodes, constants, outputs={"y": (1, ["batch", 4])})


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalisation_in_parts_is_a_module(square, bias, axis):
    model = layer_norm(square=square, bias=bias, axis=axis)
    data = model.SerializeToString()
    imported = import_model(data)
    norm = imported.module.norm
    assert isinstance(norm, nn.LayerNorm)
    assert norm.eps == pytest.approx(1e-6)
    assert (norm.bias is not None) == bias
    assert verify_import(data).max_rel_diff < 1e-5


def test_trained_parts_go_back_to_their_nodes():
    imported = import_model(layer_norm().SerializeToString())
    with torch.no_grad():
        imported.module.norm.weight.mul_(2)
        imported.module.norm.bias.add_(1)
    again = import_model(export_model(imported, imported.module)).module
    assert torch.equal(again.norm.weight, imported.module.norm.weight)
    assert torch.equal(again.norm.bias, imported.module.norm.bias)


def test_a_mean_over_another_axis_is_no_layer_normalisation():
    model = layer_norm(axis=0)
    assert "LayerNormalization" not in became(model)
    import_model(model.SerializeToString())


def test_a_part_that_is_also_an_output_stays():
    model = layer_norm()
    model.graph.output.append(model.graph.output[0])
    model.graph.output[1].name = "n"
    assert "LayerNormalization" not in became(model)


GELUS = {
    "half last": [("Mul", ["x", "e1"], "p"), ("Mul", ["p", "half"], "y")],
    "half first": [("Mul", ["half", "e1"], "p"), ("Mul", ["p", "x"], "y")],
    "half with x": [("Mul", ["x", "half"], "p"), ("Mul", ["p", "e1"], "y")],
}


@pytest.mark.parametrize("form", GELUS)
@pytest.mark.parametrize("scaling", ["Div", "Mul"])
def test_gelu_in_parts_is_one_function(form, scaling):
    constants = {
        "root": np.float32(np.sqrt(2.0) if scaling == "Div" else np.sqrt(0.5)),
        "half": HALF,
        "one": ONE,
    }
    nodes = [
        node(scaling, ["x", "root"], ["scaled"]),
        node("Erf", ["scaled"], ["e"]),
        node("Add", ["e", "one"], ["e1"]),
        *(node(op, inputs, [output]) for op, inputs, output in GELUS[form]),
    ]
    model = model_of(nodes, constants)
    assert became(model) == ["Gelu"]
    assert verify_import(model.SerializeToString()).max_rel_diff < 1e-5


@pytest.mark.parametrize(
    ("gate", "whole"),
    [
        (node("Sigmoid", ["x"], ["g"]), "Swish"),
        (node("HardSigmoid", ["x"], ["g"], alpha=1 / 6, beta=0.5), "HardSwish"),
    ],
)
def test_an_activation_that_gates_itself_is_one_function(gate, whole):
    model = model_of([gate, node("Mul", ["x", "g"], ["y"])])
    assert became(model) == [whole]
    assert verify_import(model.SerializeToString()).max_rel_diff < 1e-5


def test_a_gate_of_another_value_stays():
    model = model_of(
        [node("Sigmoid", ["x"], ["g"]), node("Relu", ["x"], ["r"]), node("Mul", ["r", "g"], ["y"])]
    )
    assert became(model) == ["Sigmoid", "Relu", "Mul"]

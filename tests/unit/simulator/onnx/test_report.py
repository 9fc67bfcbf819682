from __future__ import annotations

import pytest

from simulator.onnx import inspect_model
from tests.unit.simulator.onnx.conftest import export
from tests.unit.simulator.onnx.graphs import dense, floats, model_of, node
from tests.unit.simulator.onnx.networks import ConvNet, Recurrent, VisionTransformer


def layers_of(data: bytes) -> dict[str, dict]:
    return {layer["name"]: layer for layer in inspect_model(data)["layers"]}


def test_a_linear_layer_is_applied_once_a_sample():
    assert layers_of(dense().SerializeToString())["fc"]["positions"] == 1


def test_a_convolution_is_applied_at_every_place_of_its_output():
    layers = layers_of(export(ConvNet, "legacy_preserve"))
    assert layers["stem"]["positions"] == 14 * 14
    assert layers["blocks.0.conv1"]["positions"] == 14 * 14
    assert layers["grouped"]["groups"] == 4


def test_a_bias_that_is_added_after_is_no_further_product():
    nodes = [node("MatMul", ["x", "fc.weight"], ["h"]), node("Add", ["h", "fc.bias"], ["y"])]
    model = model_of(
        nodes,
        {"fc.weight": floats(4, 3), "fc.bias": floats(3)},
        inputs={"x": (1, ["batch", 7, 4])},
        outputs={"y": (1, ["batch", 7, 3])},
    )
    (layer,) = inspect_model(model.SerializeToString())["layers"]
    assert layer["positions"] == 7
    assert layer["bias"]


def test_a_layer_that_is_called_twice_counts_twice():
    nodes = [node("MatMul", ["x", "fc.weight"], ["h"]), node("MatMul", ["h", "fc.weight"], ["y"])]
    model = model_of(nodes, {"fc.weight": floats(4, 4)}, outputs={"y": (1, ["batch", 4])})
    assert layers_of(model.SerializeToString())["fc"]["positions"] == 2


@pytest.mark.parametrize("exporter", ["legacy", "legacy_fixed_batch"])
def test_a_transformers_layers_are_applied_at_every_token(exporter):
    layers = layers_of(export(VisionTransformer, exporter))
    assert layers["encoder.layers.0.linear1"]["positions"] == 5
    assert layers["encoder.layers.0.self_attn.in_proj"]["positions"] == 5  # the time comes first there


def test_parameters_are_counted_once_where_they_are_shared():
    nodes = [node("MatMul", ["x", "fc.weight"], ["h"]), node("MatMul", ["h", "fc.weight"], ["y"])]
    model = model_of(nodes, {"fc.weight": floats(4, 4)}, outputs={"y": (1, ["batch", 4])})
    assert inspect_model(model.SerializeToString())["parameters"] == 16


def test_a_recurrent_layer_names_its_matrices_and_counts_its_steps():
    layer = layers_of(export(Recurrent, "legacy"))["lstm"]
    assert (layer["kind"], layer["op"]) == ("analog", "LSTM")
    assert layer["matrices"] == [[48, 8], [48, 12], [48, 8], [48, 12]]
    assert layer["positions"] == 7

"""Networks whose weights or activations are quantised as QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from simulator.onnx import export_model, import_model, inspect_model, verify_import
from tests.cases import case
from tests.unit.simulator.onnx.graphs import floats, model_of, node

OPSETS = [10, 12, 13, 15, 18, 19, 20, 21, 22]
KINDS = {
    "int8": (np.int8, 3),
    "uint8": (np.uint8, 130),
    "int16": (np.int16, 300),
    "uint16": (np.uint16, 33000),
}
_SINCE = {"int16": 21, "uint16": 21}  # the opset


def quantised(opset, kind, *, per_axis, activations=True):
    """Return a layer with a quantised weight, its input quantised as well."""
    dtype, zero = KINDS[kind]
    weight = np.clip(floats(4, 3) * 40 + zero, *(np.iinfo(dtype).min, np.iinfo(dtype).max)).astype(dtype)
    scale = np.array([0.02, 0.03, 0.01], np.float32) if per_axis else np.float32(0.02)
    point = np.full(3, zero, dtype) if per_axis else dtype(zero)
    constants = {
        "wq": weight,
        "s": scale,
        "z": point,
        "xs": np.float32(0.02),
        "xz": dtype(zero),
        "b": floats(3),
    }
    axis = {"axis": 1} if opset >= 13 else {}
    nodes = [node("DequantizeLinear", ["wq", "s", "z"], ["w"], **axis)]
    x = "x"
    if activations:
        nodes.append(node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]))
        nodes.append(node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]))
        x = "xd"
    nodes += [node("MatMul", [x, "w"], ["h"]), node("Add", ["h", "b"], ["y"])]
    return model_of(nodes, constants, outputs={"y": (TensorProto.FLOAT, ["batch", 3])}, opset=opset)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("opset", OPSETS)
def test_quantised_layers_are_read_run_and_trained(opset, per_axis, kind):
    if per_axis and opset < 13:
        pytest.skip("per axis since opset 13")
    if opset < _SINCE.get(kind, 0):
        pytest.skip(f"{kind} since opset {_SINCE[kind]}")
    data = quantised(opset, kind, per_axis=per_axis).SerializeToString()
    assert [layer["kind"] for layer in inspect_model(data)["layers"]] == ["analog"]
    imported = import_model(data)
    x = floats(5, 4, seed=3)
    (expected,) = onnxruntime.InferenceSession(data).run(None, {"x": x})
    with torch.no_grad():
        np.testing.assert_allclose(imported.module(torch.from_numpy(x)), expected, atol=1e-5)
    assert verify_import(data).state == "passed"
    given = torch.from_numpy(x).requires_grad_()
    trained = imported.module(given)
    np.testing.assert_allclose(trained.detach(), expected, atol=1e-5)
    trained.sum().backward()
    assert all(parameter.grad is not None for parameter in imported.module.parameters())
    (layer,) = [m for m in imported.module.modules() if isinstance(m, torch.nn.Linear)]
    dtype, zero = KINDS[kind]
    limits = np.iinfo(dtype)
    half = (limits.max - limits.min) / 2
    inside = np.abs(x / 0.02 + zero - limits.min - half) < half - 0.5
    straight = layer.weight.sum(0).detach().numpy() * inside
    np.testing.assert_allclose(given.grad, straight, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 20, 22])
def test_trained_weights_are_written_in_the_place_of_quantised_ones(opset):
    imported = import_model(quantised(opset, "int8", per_axis=True).SerializeToString())
    with torch.no_grad():
        for parameter in imported.module.parameters():
            parameter.add_(0.5)
    again = export_model(imported, imported.module)
    onnx.checker.check_model(onnx.ModelProto.FromString(again))
    x = torch.from_numpy(floats(5, 4))
    with torch.no_grad():
        torch.testing.assert_close(import_model(again).module(x), imported.module(x))


@pytest.mark.parametrize("opset", [21, 22])
def test_blocks_have_scales_of_their_own(opset):
    constants = {
        "wq": np.arange(-8, 8, dtype=np.int8).reshape(4, 4),
        "s": np.abs(floats(2, 4)),
        "z": np.ones((2, 4), np.int8),
    }
    nodes = [
        node("DequantizeLinear", ["wq", "s", "z"], ["w"], axis=0, block_size=2),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    data = model_of(
        nodes, constants, outputs={"y": (TensorProto.FLOAT, ["batch", 4])}, opset=opset
    ).SerializeToString()
    expected = (constants["wq"] - 1.0) * np.repeat(constants["s"], 2, 0)
    (layer,) = [m for m in import_model(data).module.modules() if isinstance(m, torch.nn.Linear)]
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected.T, rtol=1e-6)


def test_a_bias_of_32_bits_is_dequantised():
    constants = {"w": floats(4, 3), "bq": np.array([100000, -5, 7], np.int32), "s": np.float32(1e-4)}
    nodes = [
        node("DequantizeLinear", ["bq", "s"], ["b"]),
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "b"], ["y"]),
    ]
    data = model_of(nodes, constants, outputs={"y": (TensorProto.FLOAT, ["batch", 3])}, opset=13)
    (layer,) = [
        m for m in import_model(data.SerializeToString()).module.modules() if isinstance(m, torch.nn.Linear)
    ]
    np.testing.assert_allclose(layer.bias.detach().numpy(), [10.0, -5e-4, 7e-4], rtol=1e-6)


def test_a_file_of_opset_13_is_read():
    assert verify_import(case("dequantize-opset13.onnx")).state == "passed"

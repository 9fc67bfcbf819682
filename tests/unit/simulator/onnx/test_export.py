from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import checker

from simulator.config import InferenceRPUConfig
from simulator.nn import convert_to_analog, convert_to_digital
from simulator.onnx import export_model, import_model, verify_imported
from tests.unit.simulator.onnx.conftest import export, run_reference
from tests.unit.simulator.onnx.graphs import dense, floats, model_of, node
from tests.unit.simulator.onnx.networks import ConvNet, LanguageModel, Mlp, Recurrent, UNet, VisionTransformer
from tests.unit.simulator.onnx.test_importer import inputs_like, relative_difference

CASES = [
    (Mlp, "legacy"),
    (Mlp, "dynamo_fixed_batch"),
    (ConvNet, "legacy_preserve"),
    (ConvNet, "dynamo"),
    (ConvNet, "dynamo_unoptimised"),
    (Recurrent, "legacy"),
    (Recurrent, "dynamo"),
    (VisionTransformer, "legacy"),
    (LanguageModel, "legacy"),
    (UNet, "legacy_preserve"),
]


def trained(imported):
    """Change all weights and statistics as training would."""
    torch.manual_seed(4)
    state = imported.module.state_dict()
    parameters = dict(imported.module.named_parameters())
    for name, value in state.items():
        if name in parameters or "running" in name:
            state[name] = value + 0.05 * torch.rand_like(value)
    imported.module.load_state_dict(state)
    return imported.module


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_the_trained_model_is_in_the_file(network, exporter):
    imported = import_model(export(network, exporter))
    module = trained(imported)
    again = import_model(export_model(imported, module))
    x = inputs_like(network, 3)
    with torch.no_grad():
        assert relative_difference(again.module(x), module(x)) < 1e-5
    assert verify_imported(again).max_rel_diff < 1e-5


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_the_file_gives_each_parameter_back_by_its_name(network, exporter):
    imported = import_model(export(network, exporter))
    module = trained(imported)
    again = import_model(export_model(imported, module)).module.state_dict()
    for name, value in module.named_parameters():
        assert torch.equal(again[name], value), name


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_the_file_keeps_its_inputs_outputs_and_opset(network, exporter):
    data = export(network, exporter)
    imported = import_model(data)
    before, after = (
        onnx.ModelProto.FromString(data),
        onnx.ModelProto.FromString(export_model(imported, imported.module)),
    )
    checker.check_model(after, full_check=True)
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    assert list(after.opset_import) == list(before.opset_import)


def test_an_unchanged_model_is_written_with_the_same_numbers():
    data = export(ConvNet, "legacy_preserve")
    imported = import_model(data)
    model = onnx.ModelProto.FromString(export_model(imported, imported.module))
    before = {tensor.name: tensor for tensor in onnx.ModelProto.FromString(data).graph.initializer}
    after = {tensor.name: tensor for tensor in model.graph.initializer}
    assert after == before


def test_weights_that_were_shared_and_have_become_different_are_given_apart():
    ones = np.ones(4, np.float32)
    model = model_of(
        [
            node("Identity", ["norm1.weight"], ["norm2.weight"]),
            node("LayerNormalization", ["x", "norm1.weight"], ["h"]),
            node("LayerNormalization", ["h", "norm2.weight"], ["y"]),
        ],
        {"norm1.weight": ones},
    )
    imported = import_model(model.SerializeToString())
    with torch.no_grad():
        imported.module.norm1.weight.fill_(2.0)
        imported.module.norm2.weight.fill_(3.0)
    again = import_model(export_model(imported, imported.module)).module
    assert again.norm1.weight.unique().tolist() == [2.0]
    assert again.norm2.weight.unique().tolist() == [3.0]


def test_scales_of_a_gemm_are_divided_out():
    model = model_of(
        [node("Gemm", ["x", "fc.weight", "fc.bias"], ["y"], alpha=0.5, beta=3.0)],
        {"fc.weight": floats(4, 3), "fc.bias": floats(1, 3, seed=1)},
    )
    imported = import_model(model.SerializeToString())
    assert imported.module.fc.weight.shape == (3, 4)
    written = export_model(imported, trained(imported))
    x = floats(2, 4, seed=2)
    (expected,) = run_reference(written, {"x": x})
    with torch.no_grad():
        assert relative_difference(imported.module(torch.from_numpy(x)), torch.from_numpy(expected)) < 1e-5


def test_a_bias_of_one_number_may_become_one_per_output():
    model = model_of(
        [node("Gemm", ["x", "fc.weight", "fc.bias"], ["y"])],
        {"fc.weight": floats(4, 3), "fc.bias": floats(1)},
    )
    imported = import_model(model.SerializeToString())
    with torch.no_grad():
        imported.module.fc.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    again = import_model(export_model(imported, imported.module))
    assert again.module.fc.bias.tolist() == [1.0, 2.0, 3.0]


def test_a_constant_node_as_weight_is_replaced():
    weight = onnx.numpy_helper.from_array(floats(4, 3))
    model = model_of([node("Constant", [], ["w"], value=weight), node("MatMul", ["x", "w"], ["y"])])
    imported = import_model(model.SerializeToString())
    written = onnx.ModelProto.FromString(export_model(imported, trained(imported)))
    assert [entry.op_type for entry in written.graph.node] == ["MatMul"]
    assert verify_imported(import_model(written.SerializeToString())).max_rel_diff < 1e-5


def test_weights_listed_among_the_inputs_stay_there():
    model = dense(bias=False)
    kind = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [3, 4])
    model.graph.input.append(onnx.ValueInfoProto(name="fc.weight", type=kind))
    model.ir_version = 3
    imported = import_model(model.SerializeToString())
    assert [spec.name for spec in imported.inputs] == ["x"]
    again = import_model(export_model(imported, trained(imported)))
    assert torch.equal(again.module.fc.weight, imported.module.fc.weight)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_are_written_in_the_type_that_the_file_has(dtype):
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = model_of(
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": floats(4, 3).astype(dtype)},
        inputs={"x": (kind, ["batch", 4])},
        outputs={"y": (kind, ["batch", 3])},
    )
    imported = import_model(model.SerializeToString())
    written = onnx.ModelProto.FromString(export_model(imported, imported.module))
    (tensor,) = written.graph.initializer
    assert tensor.data_type == kind
    assert np.array_equal(onnx.numpy_helper.to_array(tensor), floats(4, 3).astype(dtype))


def test_missing_and_misshapen_parameters_are_all_named():
    imported = import_model(dense().SerializeToString())
    with pytest.raises(ValueError, match=r"fc.bias is missing.*fc.weight has the shape \[1, 4\]"):
        export_model(imported, {"fc.weight": torch.zeros(1, 4)})


@pytest.mark.parametrize(("network", "exporter"), CASES)
def test_a_network_comes_back_from_tiles_into_the_file(network, exporter):
    imported = import_model(export(network, exporter))
    module = trained(imported)
    config = InferenceRPUConfig.model_validate({"forward": {"is_perfect": True}})
    analog = convert_to_analog(module, config).eval()
    x = inputs_like(network, 3)
    with torch.no_grad():
        assert relative_difference(analog(x), module(x)) < 1e-5
        again = import_model(export_model(imported, convert_to_digital(analog)))
        assert relative_difference(again.module(x), module(x)) < 1e-5

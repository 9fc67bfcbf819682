from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import nn

from simulator.intake import IntakeError
from simulator.onnx import import_model, inspect_model, limits, verify_import
from tests.cases import case
from tests.unit.simulator.onnx.conftest import export
from tests.unit.simulator.onnx.graphs import floats, model_of, node
from tests.unit.simulator.onnx.networks import ConvNet, LanguageModel, Mlp, Recurrent, UNet, VisionTransformer
from tests.unit.simulator.onnx.test_importer import inputs_like, relative_difference
from tests.unit.simulator.onnx.test_verify_inputs import exported

FIXED = [
    (Mlp, "legacy_fixed_batch"),
    (Recurrent, "legacy_fixed_batch"),
    (VisionTransformer, "legacy_fixed_batch"),
    (LanguageModel, "legacy_fixed_batch"),
    (UNet, "legacy_fixed_batch"),
    (ConvNet, "dynamo_unoptimised"),
    (VisionTransformer, "dynamo_opset_23"),
    (LanguageModel, "dynamo_fixed_batch"),
]


@pytest.mark.parametrize(("network", "exporter"), FIXED)
@pytest.mark.parametrize("batch", [1, 5])
def test_a_baked_in_batch_size_is_taken_out(network, exporter, batch):
    imported = import_model(export(network, exporter))
    assert imported.fixed_batch is None
    assert limits.FIXED_BATCH not in imported.notes
    x = inputs_like(network, batch)
    with torch.no_grad():
        together = imported.module(x)
        twice = imported.module(torch.cat([x, x.flip(0)]))
    assert together.shape[0] == batch
    assert relative_difference(twice[:batch], together) < 1e-5
    assert relative_difference(twice[batch:].flip(0), together) < 1e-5


@pytest.mark.parametrize(("network", "exporter"), FIXED)
def test_a_freed_model_is_verified_sample_by_sample(network, exporter):
    assert verify_import(export(network, exporter)).max_rel_diff < 1e-5


def mixing_model() -> bytes:
    """Return a model whose result for one sample depends on the others."""
    nodes = [node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1), node("Sub", ["x", "m"], ["y"])]
    return model_of(
        nodes, inputs={"x": (TensorProto.FLOAT, [2, 4])}, outputs={"y": (TensorProto.FLOAT, [2, 4])}
    ).SerializeToString()


def test_a_model_that_mixes_its_samples_is_refused_with_the_call_to_use():
    with pytest.raises(IntakeError) as caught:
        import_model(mixing_model())
    assert caught.value.code == limits.FIXED_BATCH
    assert "dynamic_shapes" in caught.value.faults[0].hint


def test_such_a_model_may_be_imported_for_its_own_batch_size():
    imported = import_model(mixing_model(), any_batch=False)
    assert imported.fixed_batch == 2
    x = torch.randn(2, 4)
    assert torch.allclose(imported.module(x), x - x.mean(0))


def test_an_upload_is_warned_of_a_baked_in_batch_size():
    (warning,) = inspect_model(mixing_model())["warnings"][:1]
    assert warning["code"] == limits.FIXED_BATCH
    assert "batch size 2" in warning["message"]


def test_time_first_is_told_from_batch_first():
    # x [2, 3, 4] becomes [3, 2, 4], then one row for each time and sample, then back
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("Reshape", ["t", "rows"], ["r"]),
        node("MatMul", ["r", "w"], ["p"]),
        node("Reshape", ["p", "back"], ["b"]),
        node("Transpose", ["b"], ["y"], perm=[1, 0, 2]),
    ]
    constants = {"rows": np.array([6, 4]), "back": np.array([3, 2, 5]), "w": floats(4, 5)}
    inputs, outputs = {"x": (1, [2, 3, 4])}, {"y": (1, [2, 3, 5])}
    module = import_model(
        model_of(nodes, constants, inputs=inputs, outputs=outputs).SerializeToString()
    ).module
    x = torch.randn(7, 3, 4)
    assert torch.allclose(module(x), x @ torch.from_numpy(constants["w"]), atol=1e-6)


def test_a_constant_of_the_batch_size_is_spread():
    token = np.repeat(floats(1, 1, 4), 2, 0)
    model = model_of(
        [node("Concat", ["token", "x"], ["y"], axis=1)],
        {"token": token},
        inputs={"x": (1, [2, 3, 4])},
        outputs={"y": (1, [2, 4, 4])},
    )
    result = import_model(model.SerializeToString()).module(torch.zeros(5, 3, 4))
    assert result.shape == (5, 4, 4)
    assert torch.equal(result[:, 0], torch.from_numpy(token[:1, 0]).expand(5, -1))


def freed(data, shape, batch=3):
    """Return the freed module's outputs of several samples together and one by one."""
    imported = import_model(data)
    assert imported.fixed_batch is None
    x = torch.from_numpy(floats(batch, *shape))
    with torch.no_grad():
        return imported.module(x), torch.cat([imported.module(x[i : i + 1]) for i in range(batch)])


def test_a_file_that_resizes_to_a_baked_in_size_is_freed():
    together, alone = freed(case("fixed-batch-resize.onnx"), (3, 32, 32))
    assert together.shape == (3, 4, 32, 32)
    torch.testing.assert_close(together, alone)
    assert verify_import(case("fixed-batch-resize.onnx")).state == "passed"


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("opset", [11, 13, 18, 19])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_sizes_of_a_resize_lose_the_batch(mode, opset, batch):
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Resize", ["a", "", "", "sizes"], ["y"], mode=mode, coordinate_transformation_mode="asymmetric"),
    ]
    model = model_of(
        nodes,
        {"sizes": np.array([batch, 3, 10, 12])},
        inputs={"x": (1, [batch, 3, 5, 6])},
        outputs={"y": (1, [batch, 3, 10, 12])},
        opset=opset,
    )
    if opset < 13:
        model.graph.node[1].input[1] = model.graph.node[1].input[2] = "none"
        model.graph.initializer.add(name="none", data_type=1, dims=[0])
    together, alone = freed(model.SerializeToString(), (3, 5, 6))
    torch.testing.assert_close(together, alone)


class Detector(nn.Module):
    """Convolutions, a path that is made larger again, and a head that is reshaped."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU())
        self.b = nn.Sequential(
            nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(), nn.MaxPool2d(3, 1, 1)
        )
        self.head = nn.Conv2d(16, 6, 1)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a)
        up = nn.functional.interpolate(b, size=a.shape[2:], mode="nearest")
        y = self.head(torch.cat([up * 2.0 + a, a], 1))
        return y.reshape(y.shape[0], 6, -1).permute(0, 2, 1).sigmoid()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "options", [{"opset_version": 11}, {"opset_version": 17}, {"dynamo": True, "external_data": False}]
)
def test_a_detector_is_freed_without_running_its_convolutions(options, batch):
    data = exported(Detector(), torch.zeros(batch, 3, 32, 32), **options)
    ran = []
    hook = nn.modules.module.register_module_forward_hook(lambda module, *_: ran.append(type(module)))
    try:
        imported = import_model(data)
    finally:
        hook.remove()
    assert nn.Conv2d not in ran
    assert imported.fixed_batch is None
    together, alone = freed(data, (3, 32, 32))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


class TextReader(nn.Module):
    """Convolutions whose columns a recurrent layer reads, time first inside."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, None)))
        self.reader = nn.LSTM(8, 6, bidirectional=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        y, _ = self.reader(self.body(x).squeeze(2).permute(2, 0, 1))
        time, batch, width = y.size()
        return self.head(y.reshape(time * batch, width)).view(time, batch, -1).permute(1, 0, 2)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"opset_version": 11},
        {"opset_version": 17},
        {"dynamo": True, "external_data": False, "optimize": False},
    ],
)
def test_a_network_that_reads_columns_is_freed(options, batch):
    data = exported(TextReader(), torch.zeros(batch, 1, 8, 20), **options)
    together, alone = freed(data, (1, 8, 20))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["Add", "Mul", "Concat"])
def test_what_mixes_samples_behind_convolutions_is_still_found(op):
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("ReduceMean", ["b"], ["m"], axes=[0], keepdims=1),
        node("Add", ["b", "m"], ["c"]) if op != "Concat" else node("Sub", ["b", "m"], ["c"]),
        node("Mul", ["c", "c"], ["y"]) if op == "Mul" else node("Relu", ["c"], ["y"]),
    ]
    model = model_of(
        nodes,
        {"w": floats(2, 3, 1, 1)},
        inputs={"x": (1, [2, 3, 4, 4])},
        outputs={"y": (1, [2, 2, 4, 4])},
    )
    with pytest.raises(IntakeError) as caught:
        import_model(model.SerializeToString())
    assert caught.value.code == limits.FIXED_BATCH


def test_a_file_whose_second_output_has_no_samples_first_says_what_to_do():
    nodes = [node("Relu", ["x"], ["y"]), node("Transpose", ["y"], ["state"], perm=[1, 0, 2])]
    model = model_of(
        nodes, inputs={"x": (1, [2, 3, 4])}, outputs={"y": (1, [2, 3, 4]), "state": (1, [3, 2, 4])}
    ).SerializeToString()
    with pytest.raises(IntakeError) as caught:
        import_model(model)
    assert "outputs" in caught.value.faults[0].hint
    assert import_model(model, outputs=["y"]).fixed_batch is None


def test_rows_of_a_sample_are_not_taken_for_samples():
    # With a batch of one, the rows of the sample broadcast with its mean; with several samples they cannot.
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Reshape", ["a", "rows"], ["r"]),
        node("Flatten", ["x"], ["f"], axis=1),
        node("MatMul", ["f", "w"], ["m"]),
        node("Add", ["r", "m"], ["s"]),
        node("Reshape", ["s", "back"], ["y"]),
    ]
    constants = {"rows": np.array([3, 4]), "back": np.array([1, 3, 4]), "w": floats(12, 4)}
    model = model_of(
        nodes, constants, inputs={"x": (1, [1, 3, 4])}, outputs={"y": (1, [1, 3, 4])}
    ).SerializeToString()
    with pytest.raises(IntakeError) as caught:
        import_model(model)
    assert caught.value.code == limits.FIXED_BATCH
    alone = import_model(model, any_batch=False).module
    x = torch.from_numpy(floats(1, 3, 4))
    expected = torch.relu(x) + (x.flatten(1) @ torch.from_numpy(floats(12, 4)))[:, None]
    torch.testing.assert_close(alone(x), expected, atol=1e-5, rtol=1e-5)

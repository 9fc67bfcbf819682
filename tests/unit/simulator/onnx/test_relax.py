from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import TensorProto

from simulator.intake import IntakeError
from simulator.onnx import import_model, inspect_model, limits, verify_import
from tests.unit.simulator.onnx.conftest import export
from tests.unit.simulator.onnx.graphs import floats, model_of, node
from tests.unit.simulator.onnx.networks import ConvNet, LanguageModel, Mlp, Recurrent, UNet, VisionTransformer
from tests.unit.simulator.onnx.test_importer import inputs_like, relative_difference

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

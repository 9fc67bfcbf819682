from __future__ import annotations

import numpy as np
import pytest
import torch

from simulator.intake import IntakeError
from simulator.onnx import import_model, verify_import, verify_imported
from simulator.onnx.verify import FAIL, WARN, Verification, compare_outputs, compare_with
from tests.unit.simulator.onnx.conftest import export
from tests.unit.simulator.onnx.graphs import dense, floats, model_of, node
from tests.unit.simulator.onnx.networks import ConvNet, Mlp


def test_a_model_is_compared_with_onnxruntime():
    assert verify_import(export(Mlp, "legacy")).reference == "onnxruntime"


def test_what_onnxruntime_cannot_run_is_compared_with_the_onnx_reference():
    found = verify_import(export(ConvNet, "legacy"))  # a dilated convolution with padding "same"
    assert found.reference == "onnx.reference"
    assert found.max_rel_diff < 1e-5


def test_a_wrong_import_fails():
    imported = import_model(dense().SerializeToString())
    with torch.no_grad():
        imported.module.fc.weight[0, 0] += 0.1
    found = verify_imported(imported)
    assert found.max_rel_diff > FAIL
    assert found.state == "failed"


def test_the_difference_is_relative_to_the_largest_output():
    found = compare_outputs([torch.tensor([100.0, 1.0])], [np.array([100.0, 1.001], np.float32)], "recorded")
    assert found.max_abs_diff == pytest.approx(1e-3, rel=1e-3)
    assert found.max_rel_diff == pytest.approx(1e-5, rel=1e-3)


def test_infinities_and_nans_at_the_same_places_agree():
    values = [float("inf"), float("-inf"), float("nan"), 1.0]
    found = compare_outputs([torch.tensor(values)], [np.array(values, np.float32)], "recorded")
    assert found.max_rel_diff == 0


@pytest.mark.parametrize("other", [float("nan"), float("inf")])
def test_a_number_where_the_reference_has_none_fails(other):
    found = compare_outputs([torch.tensor([1.0, 2.0])], [np.array([1.0, other], np.float32)], "recorded")
    assert found.state == "failed"


@pytest.mark.parametrize(
    ("difference", "state"),
    [(0.0, "passed"), (WARN, "passed"), (2e-4, "warned"), (2e-3, "failed"), (float("nan"), "failed")],
)
def test_limits(difference, state):
    assert Verification(difference, difference, "onnxruntime").state == state


def test_the_random_inputs_depend_on_the_seed_alone():
    data = dense().SerializeToString()
    torch.manual_seed(1)
    first = verify_import(data, seed=5)
    torch.manual_seed(2)
    assert verify_import(data, seed=5) == first


def test_missing_arrays_are_named():
    with pytest.raises(IntakeError, match="output:y"):
        compare_with(dense().SerializeToString(), {"input:x": np.zeros((1, 4), np.float32)})


def test_a_doubles_model_is_compared_in_float32():
    import onnx

    model = model_of(
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": floats(4, 3).astype(np.float64)},
        inputs={"x": (onnx.TensorProto.DOUBLE, ["batch", 4])},
        outputs={"y": (onnx.TensorProto.DOUBLE, ["batch", 3])},
    )
    imported = import_model(model.SerializeToString())
    assert imported.inputs[0].dtype == "float64"
    assert verify_imported(imported).max_rel_diff < 1e-5


def test_a_half_precision_model_is_compared_with_itself_in_float32():
    import onnx

    half = onnx.TensorProto.FLOAT16
    model = model_of(
        [node("MatMul", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])],
        {"w": floats(4, 3).astype(np.float16)},
        inputs={"x": (half, ["batch", 4])},
        outputs={"y": (half, ["batch", 3])},
    )
    assert verify_import(model.SerializeToString()).max_rel_diff < 1e-5

"""ONNX's own cases for single operators."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from simulator.intake import IntakeError
from simulator.onnx import import_model
from simulator.onnx.supported import SUPPORTED

# May only grow. What is refused is refused by name: further outputs, strings, cropping, attention windows, ...
PASSED_AT_LEAST = 1129
# These ask for the random mask of training; an import computes evaluation.
TRAINING_ONLY = {"test_training_dropout", "test_training_dropout_default"}
NARROW = ("float16", "bfloat16")


def conformance_cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference divides by zero and the like on purpose
        from onnx.backend.test.loader import load_model_tests

        for case in load_model_tests(kind="node"):
            operators = {node.op_type for node in case.model.graph.node}
            domains = {node.domain for node in case.model.graph.node}
            if operators <= SUPPORTED and domains == {""} and case.name not in TRAINING_ONLY:
                yield case


def widened(array):
    return array.astype(np.float32) if array.dtype.name in (*NARROW, "float64") else array


def check(model, inputs, outputs):
    names = [value.name for value in model.graph.output]
    imported = import_model(model.SerializeToString(), any_batch=False, outputs=names)
    with torch.no_grad():
        results = imported.module(*(torch.from_numpy(np.array(widened(array))) for array in inputs))
    narrow = any(array.dtype.name in NARROW for array in (*inputs, *outputs))
    for found, expected in zip(results if isinstance(results, tuple) else (results,), outputs, strict=True):
        assert found.shape == expected.shape
        tolerance = {"rtol": 3e-2, "atol": 1e-2} if narrow else {"rtol": 1e-3, "atol": 1e-5}
        np.testing.assert_allclose(found.numpy(), widened(expected), **tolerance)


def with_constants(model, arrays):
    """Return the model with all inputs but the first as weights."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for array, value in list(zip(arrays, model.graph.input, strict=True))[1:]:
        changed.graph.initializer.append(numpy_helper.from_array(array, value.name))
    del changed.graph.input[1:]
    return changed


def outcome(case):
    inputs, outputs = case.data_sets[0]
    if not all(isinstance(value, np.ndarray | np.generic) for value in (*inputs, *outputs)):
        return "sequences"
    inputs, outputs = [np.asarray(value) for value in inputs], [np.asarray(value) for value in outputs]
    refusals = 0
    for model, given in ((case.model, inputs), (with_constants(case.model, inputs), inputs[:1])):
        try:
            check(model, given, outputs)
        except IntakeError:
            refusals += 1
    return "refused" if refusals == 2 else "passed"


@pytest.mark.slow
def test_onnx_own_cases_give_their_results_or_are_refused(record_property):
    counts = Counter(outcome(case) for case in conformance_cases())
    record_property("to be seen", f"ONNX conformance: {counts['passed']} passed, {counts['refused']} refused")
    assert counts["passed"] >= PASSED_AT_LEAST

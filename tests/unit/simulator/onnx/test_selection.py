"""Which outputs of a file are computed, and what is said of files of a kind that is not simulated."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from simulator.intake import IntakeError
from simulator.onnx import export_model, import_model, inspect_model, limits, verify_import, verify_imported
from tests.unit.simulator.onnx.graphs import floats, model_of, node

FLOAT, INT, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def classifier(labels, **changes):
    """Return what a converter makes of a scikit-learn classifier: labels beside probabilities."""
    kind = TEXT if labels.dtype.kind == "O" else INT
    nodes = [
        node("MatMul", ["x", "coefficient"], ["h"]),
        node("Add", ["h", "intercepts"], ["z"]),
        node("Softmax", ["z"], ["probabilities"], axis=1),
        node("ArgMax", ["probabilities"], ["best"], axis=1),
        node("ArrayFeatureExtractor", ["classes", "best"], ["picked"], domain="ai.onnx.ml"),
        node("Reshape", ["picked", "flat"], ["label"]),
    ]
    constants = {"coefficient": floats(4, 3), "intercepts": floats(3, seed=1), "flat": np.array([-1])}
    model = model_of(
        nodes,
        constants,
        outputs={"label": (kind, ["n"]), "probabilities": (FLOAT, ["n", 3])},
        domains=["ai.onnx.ml"],
        **changes,
    )
    model.graph.initializer.append(numpy_helper.from_array(labels, "classes"))
    return model


LABELS = {"numbers": np.array([3, 5, 8]), "words": np.array(["a", "b", "c"], object)}


@pytest.mark.parametrize("opset", [9, 13, 17, 21])
@pytest.mark.parametrize("labels", LABELS)
def test_labels_beside_probabilities_are_dropped_with_a_note(labels, opset):
    data = classifier(LABELS[labels], opset=opset).SerializeToString()
    report = inspect_model(data)
    assert [output["name"] for output in report["outputs"]] == ["probabilities"]
    assert report["outputs"][0]["activation"] == "softmax"
    (warning,) = report["warnings"]
    assert warning["code"] == "outputs_dropped"
    assert "'label'" in warning["message"]
    assert [layer["kind"] for layer in report["layers"]] == ["analog"]
    assert verify_import(data).state == "passed"


def test_the_label_follows_the_trained_weights():
    data = classifier(LABELS["numbers"]).SerializeToString()
    imported = import_model(data)
    with torch.no_grad():
        for parameter in imported.module.parameters():
            parameter.mul_(-1.0)
    again = export_model(imported, imported.module)
    x = floats(20, 4)
    before, _ = onnxruntime.InferenceSession(data).run(None, {"x": x})
    label, probabilities = onnxruntime.InferenceSession(again).run(None, {"x": x})
    assert (label == LABELS["numbers"][probabilities.argmax(1)]).all()
    assert (label != before).any()


def several():
    """Return a model of two useful outputs, one that is not supported, and inputs of their own."""
    nodes = [
        node("MatMul", ["x", "w"], ["features"]),
        node("MatMul", ["features", "v"], ["y"]),
        node("Det", ["square"], ["determinant"]),
    ]
    return model_of(
        nodes,
        {"w": floats(4, 3), "v": floats(3, 2, seed=1)},
        inputs={"x": (FLOAT, ["n", 4]), "square": (FLOAT, ["n", 5, 5])},
        outputs={"y": (FLOAT, ["n", 2]), "features": (FLOAT, ["n", 3]), "determinant": (FLOAT, ["n"])},
    ).SerializeToString()


def names(report):
    return [i["name"] for i in report["inputs"]], [o["name"] for o in report["outputs"]]


def test_what_leads_to_no_supported_output_is_dropped():
    assert names(inspect_model(several())) == (["x"], ["y", "features"])


@pytest.mark.parametrize(("chosen", "layers"), [(["y"], 2), (["features"], 1), (["features", "y"], 2)])
def test_outputs_can_be_chosen(chosen, layers):
    report = inspect_model(several(), outputs=chosen)
    assert sorted(names(report)[1]) == sorted(chosen)
    assert len(report["layers"]) == layers
    assert report["warnings"] == []
    imported = import_model(several(), outputs=chosen)
    assert verify_imported(imported).state == "passed"
    again = onnx.ModelProto.FromString(export_model(imported, imported.module))
    assert [value.name for value in again.graph.output] == ["y", "features", "determinant"]


def test_an_output_that_is_chosen_has_to_be_supported():
    with pytest.raises(IntakeError, match="Det"):
        inspect_model(several(), outputs=["determinant"])


def test_an_output_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(IntakeError, match="'z'") as caught:
        inspect_model(several(), outputs=["y", "z"])
    assert "y, features, determinant" in caught.value.message


def test_a_node_that_leads_nowhere_refuses_no_file():
    model = model_of(
        [node("MatMul", ["x", "w"], ["y"]), node("Det", ["x"], ["d"])],
        {"w": floats(4, 3)},
        outputs={"y": (FLOAT, ["n", 3])},
    )
    assert len(inspect_model(model.SerializeToString())["layers"]) == 1


def test_an_input_that_nothing_reads_stays():
    model = model_of(
        [node("MatMul", ["x", "w"], ["y"])],
        {"w": floats(4, 3)},
        inputs={"x": (FLOAT, ["n", 4]), "unused": (FLOAT, ["n", 2])},
        outputs={"y": (FLOAT, ["n", 3])},
    )
    assert names(inspect_model(model.SerializeToString()))[0] == ["x", "unused"]


def test_outputs_that_are_all_supported_are_all_kept():
    model = onnx.ModelProto.FromString(several())
    del model.graph.output[2]
    assert names(inspect_model(model.SerializeToString()))[1] == ["y", "features"]


def test_indices_alone_are_kept():
    model = model_of(
        [node("ArgMax", ["x"], ["a"], axis=1), node("ArgMin", ["x"], ["b"], axis=1)],
        outputs={"a": (INT, ["n", 1]), "b": (INT, ["n", 1])},
    )
    assert names(inspect_model(model.SerializeToString()))[1] == ["a", "b"]


def refusal(nodes, domains=(), **more):
    with pytest.raises(IntakeError) as caught:
        inspect_model(model_of(nodes, domains=list(domains), **more).SerializeToString())
    assert caught.value.code == limits.UNSUPPORTED_OPERATOR
    return caught.value


def test_quantised_files_name_a_way_out():
    constants = {"w": np.ones((4, 3), np.int8)}
    nodes = [
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z"], ["y"]),
    ]
    error = refusal(nodes, constants=constants, outputs={"y": (TensorProto.INT32, ["n", 3])})
    assert "before it was quantised" in error.message
    assert all("QDQ" in fault.hint for fault in error.faults)


@pytest.mark.parametrize("operator", ["STFT", "DFT", "MelWeightMatrix", "HannWindow"])
def test_spectra_name_a_way_out(operator):
    error = refusal([node(operator, ["x"], ["y"])])
    assert "spectrogram" in error.message
    assert "dataset" in error.faults[0].hint


@pytest.mark.parametrize(
    ("domain", "operator", "words"),
    [
        ("ai.onnx.ml", "TreeEnsembleClassifier", "trees"),
        ("ai.onnx.ml", "ZipMap", "zipmap"),
        ("com.microsoft", "FusedConv", "onnxruntime"),
        ("org.example", "Mine", "custom domain 'org.example'"),
    ],
)
def test_other_domains_are_called_what_they_are(domain, operator, words):
    error = refusal([node(operator, ["x"], ["y"], domain=domain)], [domain])
    (fault,) = error.faults
    assert words in fault.message + fault.hint
    assert ("custom" in fault.message) == (domain == "org.example")


def test_a_deep_chain_of_functions_costs_no_stack():
    functions = [
        helper.make_function(
            "mine",
            f"f{i}",
            ["a"],
            ["b"],
            [node(f"f{i + 1}", ["a"], ["b"], domain="mine")],
            [helper.make_opsetid("mine", 1)],
        )
        for i in range(3000)
    ]
    model = model_of(
        [node("f0", ["x"], ["y"], domain="mine"), node("Relu", ["x"], ["z"])],
        outputs={"y": (FLOAT, ["batch", 4]), "z": (FLOAT, ["batch", 4])},
        functions=functions,
        domains=["mine"],
    )
    with pytest.raises(IntakeError):
        inspect_model(model.SerializeToString())

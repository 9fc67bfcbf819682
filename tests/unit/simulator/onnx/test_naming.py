from __future__ import annotations

import onnx
import pytest

from simulator.onnx.naming import Names, Scope, layer_of_parameter, scope_of


@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("fc1.weight", "fc1"),
        ("features.0.bias", "features.0"),
        ("layer1.0.bn1.running_mean", "layer1.0.bn1"),
        ("lstm.weight_ih_l0", "lstm"),
        ("encoder.self_attn.in_proj_bias", "encoder.self_attn.in_proj"),
        ("encoder.self_attn.in_proj_weight", "encoder.self_attn.in_proj"),
        ("sequential/dense/MatMul/ReadVariableOp:0", "sequential.dense"),
        ("StatefulPartitionedCall/model/conv/Conv2D/ReadVariableOp:0", "model.conv"),
        ("coefficient", "coefficient"),
        ("weight", "weight"),
        ("onnx::MatMul_123", None),
        ("val_12", None),
        ("/Constant_3_output_0", None),
        ("42", None),
    ],
)
def test_the_layer_of_a_parameter(parameter, layer):
    assert layer_of_parameter(parameter) == layer


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/fc1/Gemm", "fc1"),
        ("/features/features.0/Conv", "features.0"),
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/Add", None),
        ("Conv_3", None),
        ("", None),
    ],
)
def test_the_older_exporter_tells_the_module_in_a_nodes_name(name, path):
    scope = scope_of(onnx.NodeProto(op_type="Conv", name=name))
    assert scope == (Scope(path, exact=False) if path else None)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("['', 'features', 'features.0', 'conv2d']", "features.0"),
        ("['', 'add']", None),
        ("not a list", None),
        ("[1, 2, 3]", None),
        ("[" * 1000, None),
    ],
)
def test_the_current_exporter_tells_the_module_in_the_metadata(text, path):
    node = onnx.NodeProto(op_type="Conv", name="node_conv2d")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=text)
    scope = scope_of(node)
    assert scope == (Scope(path, exact=True) if path else None)


def test_a_name_is_given_once():
    names = Names()
    assert [names.claim(["fc"], "linear") for _ in range(3)] == ["fc", "fc_1", "fc_2"]


def test_the_next_candidate_is_taken_before_a_number_is_added():
    names = Names()
    names.claim(["fc"], "linear")
    assert names.claim([None, "fc", "head"], "linear") == "head"


def test_without_a_candidate_the_fallback_is_numbered():
    names = Names()
    assert [names.claim([None], "gemm") for _ in range(2)] == ["gemm", "gemm_1"]


def test_no_name_is_inside_of_another():
    names = Names()
    names.claim(["rnn"], "x")
    assert names.claim(["rnn.proj"], "x") == "rnn_proj"
    names.claim(["a.b"], "x")
    assert names.claim(["a"], "x") == "a_1"


@pytest.mark.parametrize("name", ["forward", "train", "lambda", "constants", "net.float"])
def test_names_that_torch_or_python_needs_are_changed(name):
    assert Names().claim([name], "x") == f"{name}_"

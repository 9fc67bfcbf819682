"""What outputs end in, and the logits that tasks are computed on."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import nn
from torch.nn import functional

from simulator.config.tasks import Task
from simulator.onnx import export_model, import_model, inspect_model, verify_imported
from simulator.tasks import loss_of
from tests.cases import case
from tests.unit.simulator.onnx.graphs import floats, model_of, node
from tests.unit.simulator.onnx.test_verify_inputs import exported

EXPORTS = {
    "legacy_9": {"dynamo": False, "opset_version": 9, "dynamic_axes": {"x": {0: "n"}}},
    "legacy_17": {"dynamo": False, "opset_version": 17, "dynamic_axes": {"x": {0: "n"}}},
    "dynamo": {
        "dynamo": True,
        "dynamic_shapes": ({0: torch.export.Dim("n")},),
        "external_data": False,
        "optimize": False,
    },
}


class Flattened(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1))

    def forward(self, x):
        return self.body(x).unsqueeze(-1).squeeze(-1).clamp(1e-7, 1 - 1e-7)


class LastValue(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 1)

    def forward(self, x):
        return torch.sigmoid(self.body(x)).squeeze(-1)


NETWORKS = {
    "logits": (nn.Linear(4, 3), None),
    "sigmoid": (nn.Sequential(nn.Linear(4, 3), nn.Sigmoid()), "sigmoid"),
    "softmax": (nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)), "softmax"),
    "log_softmax": (nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1)), "log_softmax"),
    "tanh": (nn.Sequential(nn.Linear(4, 3), nn.Tanh()), None),
    "clamped": (Flattened(), "softmax"),
    "squeezed": (LastValue(), "sigmoid"),
    "scaled": (nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1), nn.Linear(3, 3)), None),
}


@cache
def network_as(name, exporter):
    return exported(NETWORKS[name][0], torch.zeros(2, 4), **EXPORTS[exporter])


@pytest.mark.parametrize("exporter", EXPORTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_activation_at_the_end_is_told(name, exporter):
    activation = NETWORKS[name][1]
    data = network_as(name, exporter)
    assert inspect_model(data)["outputs"][0]["activation"] == activation
    ending = import_model(data).outputs[0].ending
    assert (None if ending is None else ending.activation) == activation


@pytest.mark.parametrize("exporter", EXPORTS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.MULTI_LABEL, Task.REGRESSION])
def test_a_task_gets_logits_whose_probabilities_are_the_networks(name, exporter, task):
    activation = NETWORKS[name][1]
    imported = import_model(network_as(name, exporter))
    x = torch.from_numpy(floats(50, 4))
    with torch.no_grad():
        outputs = imported.module(x)
        logits = imported.for_task(task)(x)
    if task is Task.REGRESSION or activation is None:
        torch.testing.assert_close(logits, outputs)
        return
    p = outputs.exp() if activation == "log_softmax" else outputs
    if task is Task.MULTI_LABEL or name == "squeezed":
        found = torch.sigmoid(logits)
    elif activation == "sigmoid":
        found = torch.sigmoid(logits)  # one against the rest: the logits are those before the sigmoid
    else:
        found = torch.softmax(logits, dim=-1)
    torch.testing.assert_close(found, p, atol=1e-5, rtol=1e-4)


def test_what_is_behind_a_saturated_softmax_still_learns():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([200.0, 0.0, 0.0]))
    module = import_model(exported(network, torch.zeros(2, 4), **EXPORTS["legacy_17"])).for_task(
        Task.CLASSIFICATION
    )
    loss_of(Task.CLASSIFICATION, module(torch.zeros(1, 4)), torch.tensor([1])).backward()
    assert module.get_submodule("0").bias.grad[1] == pytest.approx(-1.0)


def test_the_activation_stays_in_what_is_exported():
    imported = import_model(case("multi-label-sigmoid.onnx"))
    module = imported.for_task(Task.MULTI_LABEL)
    with torch.no_grad():
        module.get_submodule("2").bias += 1
    again = import_model(export_model(imported, module))
    assert again.outputs[0].ending.activation == "sigmoid"
    x = torch.from_numpy(floats(5, 8))
    torch.testing.assert_close(torch.sigmoid(module(x)), again.module(x))


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "log_softmax", "clamped"])
def test_an_import_is_compared_with_its_activation(activation):
    assert verify_imported(import_model(network_as(activation, "legacy_17"))).state == "passed"


def written(nodes, constants, outputs=("batch", 3), opset=17):
    return model_of(
        nodes,
        constants,
        outputs={"y": (TensorProto.FLOAT, list(outputs))},
        opset=opset,
    ).SerializeToString()


def test_a_softmax_in_parts_is_one():
    nodes = [
        node("MatMul", ["x", "w"], ["z"]),
        node("Exp", ["z"], ["e"]),
        node("ReduceSum", ["e"], ["s"], axes=[1], keepdims=1),
        node("Div", ["e", "s"], ["y"]),
    ]
    imported = import_model(written(nodes, {"w": floats(4, 3)}, opset=12))
    assert imported.outputs[0].ending.activation == "softmax"
    x = torch.from_numpy(floats(5, 4))
    torch.testing.assert_close(
        imported.for_task(Task.CLASSIFICATION)(x), x @ torch.from_numpy(floats(4, 3)), atol=1e-5, rtol=1e-4
    )


def test_both_sides_of_a_binary_classifier_are_probabilities():
    nodes = [
        node("MatMul", ["x", "w"], ["z"]),
        node("Sigmoid", ["z"], ["p"]),
        node("Sub", ["one", "p"], ["q"]),
        node("Concat", ["q", "p"], ["y"], axis=1),
    ]
    imported = import_model(written(nodes, {"w": floats(4, 1), "one": np.ones(1, np.float32)}, ("batch", 2)))
    assert imported.outputs[0].ending.activation == "probabilities"
    x = torch.from_numpy(floats(5, 4))
    with torch.no_grad():
        p = copy.deepcopy(imported.module)(x)
        logits = imported.for_task(Task.CLASSIFICATION)(x)
    torch.testing.assert_close(torch.softmax(logits, 1), p, atol=1e-6, rtol=1e-4)


def test_a_logarithm_of_a_softmax_is_taken_as_it_is():
    nodes = [
        node("MatMul", ["x", "w"], ["z"]),
        node("Softmax", ["z"], ["p"], axis=-1),
        node("Log", ["p"], ["y"]),
    ]
    imported = import_model(written(nodes, {"w": floats(4, 3)}))
    assert imported.outputs[0].ending.activation == "log_probabilities"
    x = torch.from_numpy(floats(5, 4))
    expected = functional.log_softmax(x @ torch.from_numpy(floats(4, 3)), 1)
    torch.testing.assert_close(imported.for_task(Task.CLASSIFICATION)(x), expected, atol=1e-5, rtol=1e-4)


def test_a_softmax_over_positions_says_nothing_of_classes():
    nodes = [node("Softmax", ["x"], ["y"], axis=2)]
    model = model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["batch", 3, 5, 7])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 3, 5, 7])},
    ).SerializeToString()
    x = torch.from_numpy(floats(2, 3, 5, 7))
    imported = import_model(model)
    torch.testing.assert_close(imported.for_task(Task.TOKEN_CLASSIFICATION)(x), torch.softmax(x, 2))


def test_a_value_that_is_used_again_before_the_activation_stays():
    nodes = [
        node("MatMul", ["x", "w"], ["z"]),
        node("Sigmoid", ["z"], ["p"]),
        node("Mul", ["z", "p"], ["s"]),  # SiLU: the sigmoid is inside
        node("MatMul", ["s", "v"], ["h"]),
        node("Sigmoid", ["h"], ["y"]),
    ]
    constants = {"w": floats(4, 3), "v": floats(3, 3, seed=1)}
    imported = import_model(written(nodes, constants))
    x = torch.from_numpy(floats(5, 4))
    with torch.no_grad():
        p = imported.module(x)
        torch.testing.assert_close(torch.sigmoid(imported.for_task(Task.MULTI_LABEL)(x)), p)

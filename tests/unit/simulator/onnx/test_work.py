"""What is computed in digital for one sample."""

from __future__ import annotations

import numpy as np

from simulator.onnx import inspect_model
from tests.unit.simulator.onnx.conftest import export
from tests.unit.simulator.onnx.graphs import floats, model_of, node
from tests.unit.simulator.onnx.networks import VisionTransformer


def work_of(data: bytes) -> dict[str, dict]:
    return {work["name"]: work for work in inspect_model(data)["operations"]}


def test_an_activation_is_an_operation_on_each_number():
    nodes = [
        node("MatMul", ["x", "fc.weight"], ["h"]),
        node("Relu", ["h"], ["a"]),
        node("Relu", ["a"], ["y"]),
    ]
    model = model_of(nodes, {"fc.weight": floats(4, 3)}, outputs={"y": (1, ["batch", 3])})
    (relu,) = inspect_model(model.SerializeToString())["operations"]
    assert relu == {
        "name": "Relu", "op": "Relu", "nodes": 2, "macs": 0, "operations": 6, "read": 6, "written": 6, "open": False,
    }  # fmt: skip


def test_pooling_reads_each_window_and_addresses_cost_nothing():
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[3, 3], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("MatMul", ["f", "fc.weight"], ["y"]),
    ]
    model = model_of(
        nodes,
        {"fc.weight": floats(2 * 3 * 3, 5)},
        inputs={"x": (1, ["batch", 2, 7, 7])},
        outputs={"y": (1, ["batch", 5])},
    )
    work = work_of(model.SerializeToString())
    assert set(work) == {"MaxPool"}
    assert work["MaxPool"]["operations"] == 2 * 3 * 3 * 9
    assert (work["MaxPool"]["read"], work["MaxPool"]["written"]) == (2 * 7 * 7, 2 * 3 * 3)


def test_a_product_of_two_activations_is_counted_in_multiply_accumulates():
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        node("MatMul", ["x", "t"], ["s"]),
        node("Softmax", ["s"], ["y"], axis=-1),
    ]
    model = model_of(nodes, {}, inputs={"x": (1, ["batch", 5, 8])}, outputs={"y": (1, ["batch", 5, 5])})
    work = work_of(model.SerializeToString())
    assert work["MatMul"]["macs"] == 5 * 5 * 8
    assert work["Softmax"]["operations"] == 5 * 5 * 5


def test_what_an_attention_computes_does_not_depend_on_how_it_was_exported():
    reports = [inspect_model(export(VisionTransformer, one)) for one in ("legacy", "legacy_fixed_batch")]
    counted = [
        {one["name"]: (one["macs"], one["operations"]) for one in report["operations"] if not one["open"]}
        for report in reports
    ]
    # What shape inference leaves open with an open batch, it says so of: the class token is put before.
    assert {"MatMul", "Softmax", "Gelu", "Mul"} <= set(counted[0])
    assert counted[0].items() <= counted[1].items()
    assert counted[0]["MatMul"] == (2 * 5 * 5 * 32, 0)
    positions = [
        [(layer["name"], layer["positions"]) for layer in report["layers"] if layer["kind"] == "analog"]
        for report in reports
    ]
    assert positions[0] == positions[1]
    assert dict(positions[0])["encoder.layers.0.self_attn.out_proj"] == 5


def test_a_sequence_of_open_length_says_that_its_sizes_are_open():
    nodes = [node("MatMul", ["x", "fc.weight"], ["h"]), node("Relu", ["h"], ["y"])]
    model = model_of(
        nodes,
        {"fc.weight": floats(4, 3)},
        inputs={"x": (1, ["batch", "time", 4])},
        outputs={"y": (1, ["batch", "time", 3])},
    )
    report = inspect_model(model.SerializeToString())
    (relu,) = report["operations"]
    assert (relu["open"], relu["operations"]) == (True, 0)
    assert report["layers"][0]["positions"] is None


def test_a_layer_on_merged_positions_is_applied_at_each_of_them():
    nodes = [
        node("Reshape", ["x", "merged"], ["m"]),
        node("MatMul", ["m", "fc.weight"], ["h"]),
        node("Reshape", ["h", "apart"], ["y"]),
    ]
    model = model_of(
        nodes,
        {
            "fc.weight": floats(4, 3),
            "merged": np.array([-1, 4], dtype="int64"),
            "apart": np.array([-1, 6, 3], dtype="int64"),
        },
        inputs={"x": (1, ["batch", 6, 4])},
        outputs={"y": (1, ["batch", 6, 3])},
    )
    (layer,) = inspect_model(model.SerializeToString())["layers"]
    assert layer["positions"] == 6

"""What a comparison is made on, and how it is judged where outputs say little."""

from __future__ import annotations

import dataclasses
import io
from itertools import islice

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import nn

from simulator.intake import IntakeError
from simulator.onnx import import_model, limits, verify_import, verify_imported
from simulator.onnx.building import build_graph
from simulator.onnx.judging import WARN
from simulator.onnx.reading import read_model
from simulator.onnx.samples import Draws, sizes_to_try
from tests.cases import FOLDER, case
from tests.unit.simulator.onnx.conftest import quiet_export
from tests.unit.simulator.onnx.graphs import dense, floats, model_of, node


def graph_of(model):
    return build_graph(read_model(model.SerializeToString()))


def drawn(model, **sizes):
    return Draws.of(graph_of(model)).inputs(batch=64, other_size=sizes.get("other", 16), seed=0)


def exported(network, example, **options):
    buffer = io.BytesIO()
    defaults = {"dynamo": False, "opset_version": 17}
    quiet_export(network.eval(), example, buffer, **defaults | options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8])
def test_indices_are_drawn_from_all_rows_of_their_table(kind):
    nodes = [
        node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        node("Gather", ["table", "i"], ["y"]),
    ]
    model = model_of(
        nodes,
        {"table": floats(200, 3)},
        inputs={"x": (kind, ["batch", 20])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 20, 3])},
    )
    (x,) = drawn(model)
    assert x.min() < 10
    assert 190 <= x.max() < 200


def test_indices_that_are_shifted_stay_in_their_table():
    nodes = [node("Add", ["x", "two"], ["i"]), node("Gather", ["table", "i"], ["y"])]
    model = model_of(
        nodes,
        {"table": floats(10, 3), "two": np.array(2)},
        inputs={"x": (TensorProto.INT64, ["batch", 20])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 20, 3])},
    )
    (x,) = drawn(model)
    assert x.max() == 7


def test_classes_of_a_one_hot_code_are_all_drawn():
    (x,) = Draws.of(build_graph(read_model(case("bytes-variance.onnx")))).inputs(
        batch=64, other_size=16, seed=0
    )
    assert x.max() > 250


def test_bytes_are_drawn_from_their_whole_range():
    model = model_of(
        [node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        inputs={"x": (TensorProto.UINT8, ["batch", 20])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 20])},
    )
    (x,) = drawn(model)
    assert x.min() < 5
    assert x.max() > 250


def masked(lengths_shape):
    """Return a model that sums what comes before a length of each sample."""
    nodes = [
        node("Cast", ["lengths"], ["l"], to=TensorProto.INT64),
        node("Less", ["steps", "l"], ["keep"]),
        node("Cast", ["keep"], ["m"], to=TensorProto.FLOAT),
        node("Mul", ["x", "m"], ["y"]),
    ]
    return model_of(
        nodes,
        {"steps": np.arange(4, 16)[None]},
        inputs={
            "x": (TensorProto.FLOAT, ["batch", 12]),
            "lengths": (TensorProto.INT64, lengths_shape),
        },
        outputs={"y": (TensorProto.FLOAT, ["batch", 12])},
    )


def test_lengths_do_not_mask_everything():
    _, lengths = drawn(masked(["batch", 1]))
    assert lengths.min() >= 6
    assert lengths.max() <= 12


def test_a_mask_keeps_the_first_position():
    nodes = [node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT), node("Mul", ["x", "m"], ["y"])]
    model = model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["batch", 12]), "mask": (TensorProto.INT64, ["batch", 12])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 12])},
    )
    _, mask = drawn(model)
    assert mask[:, 0].all()
    assert not mask.all()


class Strided(nn.Module):
    """Makes a signal shorter 320-fold with kernels that reach far, without padding."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(*(nn.Conv1d(1, 1, 2 * s, s) for s in (5, 8, 8)))

    def forward(self, x):
        return self.down(x)


class Skipping(nn.Module):
    """Adds what was made smaller and larger again: only multiples of 48 fit."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(*(nn.Conv2d(1, 1, s, s) for s in (3, 4, 4)))
        self.up = nn.Sequential(*(nn.ConvTranspose2d(1, 1, s, s) for s in (4, 4, 3)))

    def forward(self, x):
        return x + self.up(self.down(x))


@pytest.mark.parametrize(
    ("network", "example", "axes"),
    [(Strided, torch.zeros(1, 1, 2000), [2]), (Skipping, torch.zeros(1, 1, 96, 96), [2, 3])],
)
def test_open_sizes_are_found_that_fit_the_network(network, example, axes):
    dynamic = {"x": {0: "batch"} | {axis: f"size{axis}" for axis in axes}}
    found = verify_import(exported(network(), example, dynamic_axes=dynamic))
    assert (found.state, found.reference) == ("passed", "onnxruntime")


def test_a_size_is_found_that_only_the_last_layer_tells():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))
    data = exported(network, torch.zeros(1, 1, 14, 14), dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}})
    assert verify_import(data).state == "passed"


def test_sizes_are_multiples_of_the_strides_at_first():
    data = exported(Skipping(), torch.zeros(1, 1, 96, 96), dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}})
    assert all(size % 48 == 0 for size in islice(sizes_to_try(build_graph(read_model(data))), 8))


def test_saturated_outputs_are_judged_at_the_node_that_saturates():
    found = verify_import(case("sigmoid-saturated.onnx"))
    assert found.node_by_node
    assert found.state == "passed"


def test_a_deep_network_of_saturated_outputs_passes():
    torch.manual_seed(0)
    network = nn.Sequential(
        *(layer for _ in range(4) for layer in (nn.Linear(8, 8), nn.Tanh())), nn.Linear(8, 3), nn.Sigmoid()
    )
    with torch.no_grad():
        network[-2].bias.fill_(-20.0)
    assert verify_import(exported(network, torch.zeros(1, 8), dynamic_axes={"x": {0: "n"}})).state == "passed"


def test_what_amplifies_rounding_is_judged_node_by_node():
    # The variance of nearly equal numbers: E[x^2] - E[x]^2, about 1000 times too small for float32.
    nodes = [
        node("Mul", ["x", "small"], ["s"]),
        node("Add", ["s", "large"], ["l"]),
        node("ReduceMean", ["l"], ["m"], axes=[1], keepdims=1),
        node("Mul", ["l", "l"], ["l2"]),
        node("ReduceMean", ["l2"], ["m2"], axes=[1], keepdims=1),
        node("Mul", ["m", "m"], ["mm"]),
        node("Sub", ["m2", "mm"], ["y"]),
    ]
    constants = {"small": np.float32(1e-3), "large": np.float32(3.3)}
    model = model_of(nodes, constants, inputs={"x": (1, ["batch", 63])}, outputs={"y": (1, ["batch", 1])})
    found = verify_import(model.SerializeToString())
    assert found.node_by_node
    assert found.state == "passed"


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("saturated", [False, True])
def test_a_wrong_weight_fails_at_any_size(scale, saturated):
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["h", "b"], ["z"]),
        node("Mul", ["z", "s"], ["y"]),
    ]
    if saturated:
        nodes[-1:] = [node("Sigmoid", ["z"], ["p"]), node("Mul", ["p", "s"], ["y"])]
    constants = {"w": floats(4, 3), "b": np.full(3, -14.0, np.float32), "s": np.float32(scale)}
    model = model_of(nodes, constants, outputs={"y": (1, ["batch", 3])})
    imported = import_model(model.SerializeToString())
    assert verify_imported(imported).state == "passed"
    with torch.no_grad():
        next(imported.module.parameters())[0, 0] += 0.1
    found = verify_imported(imported)
    assert found.state == "failed"
    assert found.node_by_node


def test_the_node_that_differs_is_named():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    imported = import_model(exported(network, torch.zeros(1, 4), dynamic_axes={"x": {0: "n"}}))
    with torch.no_grad():
        imported.module.get_submodule("2").weight[0, 0] += 1
    assert verify_imported(imported).where == "y"


def test_a_model_that_cannot_be_run_fails_with_a_code():
    imported = import_model(dense().SerializeToString())
    imported.module.fc = nn.Linear(5, 3)
    with pytest.raises(IntakeError, match="cannot be run") as caught:
        verify_imported(imported, samples=(torch.randn(3, 4),))
    assert caught.value.code == limits.IMPORT_FAILED


def test_samples_take_the_place_of_random_inputs():
    data = np.load(FOLDER / "classes.npz")
    imported = import_model(case("cls_logits.onnx"))
    found = verify_imported(imported, samples=(torch.from_numpy(data["x_train"]),))
    assert (found.inputs, found.state) == ("samples", "passed")
    assert found.max_abs_diff <= WARN * 100


def test_samples_reach_what_random_inputs_do_not():
    # Wrong for the last row of the table alone.
    model = model_of(
        [node("Gather", ["table", "x"], ["y"])],
        {"table": floats(1000, 3)},
        inputs={"x": (TensorProto.INT64, ["batch"])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 3])},
    )
    imported = import_model(model.SerializeToString())
    with torch.no_grad():
        imported.module.table.weight[999] += 1
    samples = (torch.tensor([1, 999, 5]),)
    assert verify_imported(imported).state == "passed"
    assert verify_imported(imported, samples=samples).state == "failed"


@pytest.mark.parametrize("count", [1, 3, 9])
def test_any_number_of_samples_will_do(count):
    data = exported(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)), torch.zeros(2, 1, 8, 8)
    )
    found = verify_imported(import_model(data), samples=(torch.randn(count, 1, 8, 8),))
    assert found.state == "passed"


def test_whole_numbers_are_given_in_the_types_of_the_file():
    imported = import_model(case("bytes-variance.onnx"))
    samples = torch.randint(0, 256, (4, 64), generator=torch.Generator().manual_seed(0))
    assert verify_imported(imported, samples=(samples,)).state == "passed"


def test_the_largest_difference_of_a_wrong_constant_is_found():
    model = model_of([node("Mul", ["x", "c"], ["y"])], {"c": floats(4)}, outputs={"y": (1, ["batch", 4])})
    other = model_of(
        [node("Mul", ["x", "c"], ["y"])], {"c": floats(4, seed=1)}, outputs={"y": (1, ["batch", 4])}
    )
    imported = import_model(model.SerializeToString())
    swapped = dataclasses.replace(imported, data=other.SerializeToString())
    assert verify_imported(swapped).state == "failed"

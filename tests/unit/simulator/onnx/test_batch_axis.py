"""Networks that have the time first take their samples first here."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from simulator.onnx import export_model, import_model, inspect_model, limits, verify_import
from tests.cases import case
from tests.unit.simulator.onnx.graphs import floats
from tests.unit.simulator.onnx.test_verify_inputs import exported

CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
TIME, FEATURES = 7, 6


class TimeFirst(nn.Module):
    """Reads `[time, batch, features]`; answers for the last step, or for each."""

    def __init__(self, cell="LSTM", each=False, before=False, embedded=False):
        super().__init__()
        self.embedding = nn.Embedding(20, FEATURES) if embedded else nn.Identity()
        self.before = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh()) if before else nn.Identity()
        self.cell = CELLS[cell](FEATURES, 5)
        self.head = nn.Linear(5, 3)
        self.each = each

    def forward(self, x):
        y, _ = self.cell(self.before(self.embedding(x)))
        return self.head(y if self.each else y[-1])


AXES = {
    "both open": {"x": {0: "time", 1: "batch"}},
    "batch open": {"x": {1: "batch"}},
    "baked in": {},
}


def check(data, x, each, batch_open=True):
    report = inspect_model(data)
    assert limits.FIXED_BATCH not in [w["code"] for w in report["warnings"]] or not batch_open
    assert "time_first" in [w["code"] for w in report["warnings"]]
    assert verify_import(data).state == "passed"
    imported = import_model(data)
    time_first = x.swapaxes(0, 1)
    expected = []
    session = onnxruntime.InferenceSession(data)
    size = session.get_inputs()[0].shape[1]
    step = size if isinstance(size, int) else x.shape[0]
    for start in range(0, x.shape[0], step):
        (part,) = session.run(None, {"x": np.ascontiguousarray(time_first[:, start : start + step])})
        expected.append(part.swapaxes(0, 1) if each else part)
    with torch.no_grad():
        found = imported.module(torch.from_numpy(np.ascontiguousarray(x)))
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)
    return imported


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("each", [False, True])
def test_networks_that_have_the_time_first_take_samples_first(cell, each, axes):
    dynamic = AXES[axes]
    if dynamic:
        dynamic = dynamic | {"y": dynamic["x"] if each else {0: "batch"}}
    data = exported(TimeFirst(cell, each), torch.zeros(TIME, 2, FEATURES), dynamic_axes=dynamic)
    imported = check(data, floats(4, TIME, FEATURES), each, batch_open=bool(dynamic))
    shape = imported.inputs[0].shape
    assert shape[1] == ("time" if "time" in str(dynamic) else TIME)
    assert [spec.name for spec in imported.outputs] == ["y"]


@pytest.mark.parametrize("options", [{"before": True}, {"embedded": True}])
def test_what_stands_before_the_recurrent_layer_may_keep_the_axes(options):
    network = TimeFirst(**options)
    example = (
        torch.zeros(TIME, 2, dtype=torch.long) if "embedded" in options else torch.zeros(TIME, 2, FEATURES)
    )
    data = exported(network, example, dynamic_axes={"x": {1: "batch"}, "y": {0: "batch"}})
    numbers = (
        np.random.default_rng(0).integers(0, 20, (4, TIME))
        if "embedded" in options
        else floats(4, TIME, FEATURES)
    )
    check(data, numbers, each=False)


@pytest.mark.parametrize(
    "options",
    [
        {"opset_version": 11},
        {"opset_version": 20},
        {"dynamo": True, "external_data": False, "dynamic_shapes": ({1: torch.export.Dim("batch")},)},
    ],
)
def test_every_exporter_is_understood(options):
    if not options.get("dynamo"):
        options = options | {"dynamic_axes": {"x": {1: "batch"}, "y": {0: "batch"}}}
    data = exported(TimeFirst(), torch.zeros(TIME, 2, FEATURES), **options)
    check(data, floats(4, TIME, FEATURES), each=False)


@pytest.mark.parametrize("name", ["time-first-open.onnx", "time-first-batch-open.onnx"])
def test_files_with_the_time_first_are_trained_and_written_back(name):
    imported = check(case(name), floats(4, 12, 8), each=False)
    module = imported.module
    module(torch.from_numpy(floats(4, 12, 8))).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.5)
    again = import_model(export_model(imported, module))
    x = torch.from_numpy(floats(4, 12, 8))
    with torch.no_grad():
        torch.testing.assert_close(again.module(x), module(x))


class BatchFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(FEATURES, 5, batch_first=True)

    def forward(self, x):
        return self.cell(x)[0]


@pytest.mark.parametrize(
    "dynamic", [{"x": {0: "batch"}}, {"x": {0: "batch", 1: "time"}}, {"x": {1: "time"}}, {}]
)
def test_networks_that_have_the_batch_first_stay_as_they_are(dynamic):
    data = exported(BatchFirst(), torch.zeros(2, TIME, FEATURES), dynamic_axes=dynamic)
    assert "time_first" not in [w["code"] for w in inspect_model(data)["warnings"]]
    assert verify_import(data).state == "passed"


def test_a_file_may_be_imported_as_it_is():
    imported = import_model(case("time-first-open.onnx"), any_batch=False)
    with torch.no_grad():
        assert imported.module(torch.zeros(12, 3, 8)).shape == (3, 4)

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.intake import IntakeError
from simulator.onnx import inspect_model, limits
from tests.unit.simulator.onnx.graphs import floats, model_of, node
from tests.unit.simulator.onnx.hostile import HOSTILE

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def limited_memory():
    """Give a hostile file two more gigabytes at most, so that it cannot take the machine."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refusal(data: bytes) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        inspect_model(data)
    return caught.value


def test_the_table_is_large_enough():
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused_with_its_code(name):
    code, make = HOSTILE[name]
    error = refusal(make())
    assert error.code == code, error
    assert error.faults
    assert all(fault.message for fault in error.faults)
    json.dumps(error.to_json(), allow_nan=False)


# A small process in between: a child's peak memory counts from the process that it was forked from.
LAUNCHER = """
import json, resource, subprocess, sys
child = subprocess.run([sys.executable, "-m", "simulator.onnx", "inspect", sys.argv[1]], stdout=subprocess.PIPE)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds = used.ru_utime + used.ru_stime
print(json.dumps([child.returncode, json.loads(child.stdout), used.ru_maxrss, seconds]))
"""


def run_child(path: Path) -> tuple[int, dict, int, float]:
    """Run the inspection as the service does; returns status, answer, memory in bytes and processor time in s."""
    ran = subprocess.run(
        [sys.executable, "-c", LAUNCHER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=path.parent,
        timeout=60,
        check=True,
    )
    status, answer, peak, seconds = json.loads(ran.stdout)
    return status, answer, peak * (1 if sys.platform == "darwin" else 1024), seconds


@pytest.mark.parametrize(
    "name",
    [
        "ten megabytes of empty nodes",
        "functions that grow exponentially",
        "a constant of terabytes",
        "a convolution with huge pads",
        "too many nodes",
    ],
)
def test_costs_little_memory_and_time(name, tmp_path):
    code, make = HOSTILE[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(make())
    status, answer, peak, seconds = run_child(path)
    assert status == 3
    assert answer["error"]["code"] == code
    assert peak < 300e6
    assert seconds < 5


def test_every_unsupported_node_is_named():
    nodes = [
        node("Det", ["x"], ["a"], name="first"),
        node("Relu", ["a"], ["b"], name="fine"),
        node("Celu", ["b"], ["c"], name="custom", domain="org.example"),
        node("Bernoulli", ["c"], ["y"], name="third"),
    ]
    error = refusal(model_of(nodes, domains=["org.example"]).SerializeToString())
    assert error.code == limits.UNSUPPORTED_OPERATOR
    assert [fault.code for fault in error.faults] == [limits.UNSUPPORTED_OPERATOR] * 3
    messages = " ".join(fault.message for fault in error.faults)
    assert all(name in messages for name in ("first", "custom", "org.example", "third"))
    assert "fine" not in messages


def test_every_tensor_with_nans_is_named():
    bad = floats(4, 4)
    bad[0, 0] = float("nan")
    nodes = [node("MatMul", ["x", "one"], ["h"]), node("MatMul", ["h", "two"], ["y"])]
    error = refusal(model_of(nodes, {"one": bad, "two": bad}).SerializeToString())
    assert len(error.faults) == 2
    assert "'one'" in error.faults[0].message
    assert "'two'" in error.faults[1].message


def test_external_data_is_refused_with_the_call_to_use():
    error = refusal(HOSTILE["external data in an initialiser"][1]())
    assert "external_data=False" in error.message


def test_an_infinite_mask_is_no_weight():
    mask = floats(4) * 0 - float("inf")
    mask[:2] = 0
    inspect_model(model_of([node("Add", ["x", "mask"], ["y"])], {"mask": mask}).SerializeToString())


def test_faults_of_several_kinds_are_told_together():
    model = model_of([node("Det", ["x"], ["y"])], {"w": floats(2)})
    model.graph.initializer[0].data_location = 1
    error = refusal(model.SerializeToString())
    assert {fault.code for fault in error.faults} == {limits.EXTERNAL_DATA, limits.UNSUPPORTED_OPERATOR}

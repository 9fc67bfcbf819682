from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.simulator.onnx.graphs import dense

ROOT = Path(__file__).parents[4]
SAMPLES = Path(__file__).parent / "samples"


def run(*arguments: str, folder: Path) -> tuple[int, dict]:
    """Run the command in a folder where there is nothing else."""
    ran = subprocess.run(
        [sys.executable, "-m", "simulator.onnx", *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=folder,
        timeout=60,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout)


def test_inspect_prints_the_report(tmp_path):
    status, report = run("inspect", str(SAMPLES / "lenet_bn.L_presv.onnx"), folder=tmp_path)
    assert status == 0
    assert report["sha256"] == "1062813060ab9fe54a242b8db1472e945e822b80da4937ffffcdcdaa73a7ebfd"
    assert report["size_bytes"] == 251884
    assert report["opset"] == 17
    assert report["producer"].startswith("pytorch")
    assert report["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 1, 28, 28]}]
    assert report["outputs"] == [
        {"name": "y", "dtype": "float32", "shape": ["batch", 10], "activation": None}
    ]
    assert report["parameters"] == 62268
    conv, norm = report["layers"][:2]
    assert (conv["name"], conv["op"], conv["kind"], conv["weight_shape"]) == (
        "f.0",
        "Conv2d",
        "analog",
        [6, 1, 5, 5],
    )
    assert (norm["name"], norm["op"], norm["kind"], norm["weight_shape"]) == (
        "f.1",
        "BatchNorm2d",
        "digital",
        [6],
    )
    assert norm["reason"] == "normalisation is computed in digital"
    assert "reason" not in conv
    assert report["warnings"] == []


def test_inspect_tells_what_each_node_became(tmp_path):
    _, report = run("inspect", "--nodes", str(SAMPLES / "mlp.D_eval.onnx"), folder=tmp_path)
    became = {entry["name"]: entry["became"] for entry in report["nodes"]}
    assert became["node_linear"] == "net.1"
    assert became["node_tanh"] == "function"


def test_a_refusal_is_printed_with_status_3(tmp_path):
    (tmp_path / "model.onnx").write_bytes(dense().SerializeToString()[:-9])
    status, answer = run("inspect", "model.onnx", folder=tmp_path)
    assert status == 3
    assert answer["error"]["code"] == "not_onnx"
    (fault,) = answer["error"]["errors"]
    assert fault["code"] == "not_onnx"
    assert "torch.onnx.export" in fault["hint"]


def test_a_file_that_is_not_there_is_told(tmp_path):
    status, answer = run("inspect", "nowhere.onnx", folder=tmp_path)
    assert status == 3
    assert answer["error"]["code"] == "unreadable"


def test_inspecting_imports_no_torch():
    program = (
        "import sys; from simulator.onnx import inspect_model; from pathlib import Path;"
        "inspect_model(Path(sys.argv[1]).read_bytes()); sys.exit('torch' in sys.modules)"
    )
    path = str(SAMPLES / "tf_encoder.D_eval.onnx")
    command = [sys.executable, "-c", program, path]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=True)


def test_compare_prints_the_differences(tmp_path):
    status, answer = run(
        "compare", str(SAMPLES / "lstm.L_eval.onnx"), str(SAMPLES / "lstm.L_eval.npz"), folder=tmp_path
    )
    assert status == 0
    assert answer.keys() == {"max_abs_diff", "max_rel_diff"}
    assert answer["max_rel_diff"] < 1e-5


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not enforce limits of address space")
def test_a_file_that_takes_too_much_memory_is_refused(tmp_path):
    program = (
        "import sys; from simulator import intake; intake.limit_this_process(300 << 20, 20);"
        "sys.exit(intake.answer(lambda: {'n': len(bytes(1 << 30))}, too_large='model_too_complex'))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert ran.returncode == 3
    assert json.loads(ran.stdout)["error"]["code"] == "model_too_complex"

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from simulator.config.datasets import builtin_datasets
from tests.unit.simulator.data.conftest import classes_set, split_set

ROOT = Path(__file__).parents[4]


def run(*arguments: str, folder: Path) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "simulator.data", *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout.decode()


def test_inspect_prints_the_report(write_npz, tmp_path):
    status, output = run("inspect", str(write_npz(**split_set())), folder=tmp_path)
    assert status == 0
    assert json.loads(output)["train_size"] == 10


def test_inspect_takes_a_test_fraction(write_npz, tmp_path):
    path = str(write_npz(**classes_set(samples=20)))
    _, output = run(
        "inspect", path, "--format", "npz", "--test-fraction", "0.5", "--seed", "3", folder=tmp_path
    )
    assert json.loads(output)["test_size"] == 10


def test_a_refusal_is_printed_with_status_3(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"no zip")
    status, output = run("inspect", "data.npz", folder=tmp_path)
    assert status == 3
    error = json.loads(output)["error"]
    assert error["code"] == "not_npz"
    assert error["errors"][0]["hint"]


def test_inspecting_imports_no_torch(write_npz):
    program = (
        "import sys; from pathlib import Path; from simulator.data.inspection import inspect;"
        "inspect(Path(sys.argv[1]), 'npz'); sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(write_npz(**split_set()))]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=True)


def test_the_apis_list_of_built_in_sets_is_up_to_date(tmp_path):
    """Anew: `python -m simulator.data list > simulator/config/datasets.json`."""
    _, output = run("list", folder=tmp_path)
    assert json.loads(output) == builtin_datasets()


def test_every_built_in_set_tells_its_licence_and_source():
    assert all(report["licence"] and report["source"] for report in builtin_datasets().values())

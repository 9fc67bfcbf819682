"""Every notebook of `examples/` runs from its first cell to its last, with a service of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from worker.local import LocalService

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))
LONGEST_S = 300


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    with LocalService(Settings(data_dir=tmp_path_factory.mktemp("service"), port=0)) as service:
        yield service


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, service: LocalService, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    notebook = tmp_path / "examples" / name
    environment = {
        **os.environ,
        "DRIFTLINE_URL": service.url,
        "PYTHONPATH": str(EXAMPLES.parent),
        "OMP_NUM_THREADS": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("jupyter-execute"), "--inplace", "--allow-errors", f"--timeout={LONGEST_S}", str(notebook)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=2 * LONGEST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        faults = [output for output in cell["outputs"] if output["output_type"] == "error"]
        assert not faults, "\n".join(faults[0]["traceback"])
    assert cells
    assert all(cell["execution_count"] for cell in cells)

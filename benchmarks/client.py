"""The client: how long its import and its shortest command take, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from app.settings import Settings
from benchmarks.rows import Row
from driftline import Driftline
from worker.local import LocalService

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "mnist_cnn.onnx"
JOBS = 50
PROCESSES = 15


def rows() -> Iterator[Row]:
    """Measure whole processes, less what Python takes to start and end for the imports."""
    bare, package, client = (
        _seconds([sys.executable, "-c", code])
        for code in ("pass", "import driftline", "from driftline import Driftline")
    )
    detail = {"an empty process in ms": 1e3 * bare}
    yield Row("import driftline", "ms", 1e3 * (package - bare), 200, detail=detail)
    yield Row("from driftline import Driftline", "ms", 1e3 * (client - bare), 200, detail=detail)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), port=0, worker_concurrency=1)
        with LocalService(settings, workers=0) as service, Driftline(service.url) as driftline:
            job = {
                "model": driftline.upload_model(MODEL), "dataset": "builtin:mnist10k",
                "rpu_config": {"preset": "PCMExamplePreset"}, "evaluate": {"t_inference": [1]},
            }  # fmt: skip
            for seed in range(JOBS):
                driftline.submit({**job, "name": f"job {seed}", "seed": seed})
            command = [sys.executable, "-m", "driftline", "jobs", f"--limit={JOBS}"]
            listed = _seconds(command, DRIFTLINE_URL=service.url)
    yield Row(f"`driftline jobs`, {JOBS} jobs", "ms", 1e3 * listed, 500)


def _seconds(command: list[str], **environment: str) -> float:
    """Return the best time of a command, from its start to its end."""
    found = []
    for _ in range(PROCESSES):
        began = time.perf_counter()
        subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, check=True)
        found.append(time.perf_counter() - began)
    return min(found)

"""The client: how long its import and its shortest command take, in processes of their own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings
from benchmarks.rows import Row
from driftline import Driftline
from worker.local import LocalService

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "mnist_cnn.onnx"
JOBS = 50
PROCESSES = 20


def rows() -> Iterator[Row]:
    """Measure the processor time of whole processes; of imports, less that of a process that does nothing."""
    bare = _took([sys.executable, "-c", "pass"])
    for code in ("import driftline", "from driftline import Driftline"):
        took = _took([sys.executable, "-c", code])
        detail = {"wall, the process included, in ms": 1e3 * took.wall}
        yield Row(
            f"`{code}`, processor time", "ms", 1e3 * (took.processor - bare.processor), 200, detail=detail
        )
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
            took = _took(command, DRIFTLINE_URL=service.url)
    detail = {"wall in ms": 1e3 * took.wall}
    yield Row(
        f"`driftline jobs`, {JOBS} jobs, processor time", "ms", 1e3 * took.processor, 500, detail=detail
    )


@dataclass(frozen=True)
class Took:
    """The best of several runs of a command, in seconds.

    Attributes:
        processor: of the command's process, in user and system mode.
        wall: from its start to its end, on a machine that may be doing other things.
    """

    processor: float
    wall: float


def _took(command: list[str], **environment: str) -> Took:
    """Return how long a command takes."""
    found = []
    for _ in range(PROCESSES):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, check=True)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((used, wall))
    processor, wall = (min(column) for column in zip(*found, strict=True))
    return Took(processor, wall)

"""The whole service: what it adds to the library, how soon it answers, and the demonstration."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from app.settings import Settings
from benchmarks.rows import Row
from benchmarks.turns import Contestant, in_turns
from driftline import Driftline, Job
from examples.demo import JOB as DEMO_JOB
from simulator.config import InferenceRPUConfig, resolve
from simulator.config.tasks import Task
from simulator.data.loading import load_dataset
from simulator.evaluate import Samples, evaluate_cells, score
from simulator.nn import convert_to_analog
from simulator.onnx import import_model
from worker.local import LocalService

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "mnist_cnn.onnx"
CONFIG = {"preset": "PCMExamplePreset"}
SHORT = {"t_inference": [3600.0], "repeats": 2, "max_samples": 1000, "batch_size": 250}
LONG = {"t_inference": [1.0, 3600.0, 86400.0, 2592000.0, 31536000.0], "repeats": 60, "max_samples": 1000}
STEPS = 6
PROCESSES = 5


def rows() -> Iterator[Row]:
    """Measure on the embedded defaults, with one work item at a time."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), port=0, worker_concurrency=1, sweep_s=1.0)
        with LocalService(settings) as service, Driftline(service.url) as driftline:
            model = driftline.upload_model(MODEL)["id"]
            _await_speed(driftline, model)
            _run(driftline, _job(model, SHORT, seed=1))  # verifies the import, once per model
            yield from _latency(driftline, model)
            yield from _overhead(service, driftline, model, settings.threads_per_item)
    yield _memory()
    yield _demo()


def _job(model: str, evaluate: dict[str, Any], *, seed: int) -> dict[str, Any]:
    evaluate = {**evaluate, "variants": ["digital", "direct"]}
    return {
        "model": model, "dataset": "builtin:mnist10k", "rpu_config": CONFIG,
        "evaluate": evaluate, "seed": seed,
    }  # fmt: skip


def _await_speed(driftline: Driftline, model: str) -> None:
    """Wait until the worker has measured its machine, which would disturb."""
    while driftline.dry_run(_job(model, SHORT, seed=0))["estimated_seconds"] is None:
        time.sleep(0.5)


def _run(driftline: Driftline, job: dict[str, Any]) -> tuple[Job, datetime]:
    """Return the finished job, and when it was sent."""
    sent = datetime.now(UTC)
    return driftline.submit(job).wait(), sent


def _latency(driftline: Driftline, model: str) -> Iterator[Row]:
    first_event, first_cell = [], []
    for seed in range(10, 20):
        job, sent = _run(driftline, _job(model, {**SHORT, "repeats": 1, "max_samples": 100}, seed=seed))
        events = list(job.events(follow=False))
        at = {event["type"]: datetime.fromisoformat(event["created_at"]) for event in reversed(events)}
        first_event.append((datetime.fromisoformat(events[0]["created_at"]) - sent).total_seconds())
        first_cell.append((at["cell.finished"] - sent).total_seconds())
    yield Row("submit to the first event, median of 10", "ms", 1e3 * sorted(first_event)[5], 150)
    yield Row("submit to the first cell, median of 10", "ms", 1e3 * sorted(first_cell)[5], 500)


def _overhead(service: LocalService, driftline: Driftline, model: str, threads: int) -> Iterator[Row]:
    works = (
        ("what the service adds to a short job", "s", 1.0, SHORT, range(30, 35)),
        ("what the service adds to a job of a minute", "%", 5.0, LONG, range(40, 42)),
    )
    for name, unit, target, evaluate, seeds in works:
        pairs = [_both(service, driftline, _job(model, evaluate, seed=seed), threads) for seed in seeds]
        alone, served = (sum(times) / len(times) for times in zip(*pairs, strict=True))
        added = served - alone if unit == "s" else 100 * (served / alone - 1)
        detail = {"library in s": [pair[0] for pair in pairs], "service in s": [pair[1] for pair in pairs]}
        yield Row(name, unit, added, target, detail=detail)


def _both(
    service: LocalService, driftline: Driftline, job: dict[str, Any], threads: int
) -> tuple[float, float]:
    """Return the seconds of a job's calls in a script that has imported what it needs, and of the job."""
    arguments = f"{job['evaluate']!r}, {job['seed']}, {threads}"
    code = f"from benchmarks.service import script; script({arguments})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise SystemExit("a benchmark's script has no pipes")
        process.stdout.readline()  # it is ready
        process.stdin.write("go\n")
        process.stdin.flush()
        with ThreadPoolExecutor() as pool:
            running = pool.submit(_run, driftline, job)
            alone = Contestant([process.pid], lambda: process.poll() is not None)
            served = Contestant(service.process_ids(), running.done)
            in_turns([alone, served])
        began, ended = map(float, process.stdout.readline().split())
    if process.returncode != 0:
        raise SystemExit("a benchmark's script failed")
    done, sent = running.result()
    finished = datetime.fromisoformat(done["finished_at"])
    return alone.seconds(began, ended), served.seconds(sent.timestamp(), finished.timestamp())


def script(evaluate: dict[str, Any], seed: int, threads: int) -> None:
    """Do a job's work with the library when told to, and print when it began and ended."""
    import torch

    from simulator.memory import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(threads)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    module = import_model(MODEL.read_bytes()).module.eval()
    dataset = load_dataset("builtin:mnist10k", None)
    samples = Samples(dataset.test.inputs, dataset.test.targets).first(evaluate["max_samples"])
    batch_size = evaluate.get("batch_size", 256)
    score(module, samples, task=Task.CLASSIFICATION, batch_size=batch_size)
    config: InferenceRPUConfig = resolve(CONFIG)
    evaluate_cells(
        convert_to_analog(module, config, seed=seed, channels_last=True).eval(),
        samples,
        task=Task.CLASSIFICATION,
        repeats=range(evaluate["repeats"]),
        times_s=evaluate["t_inference"],
        batch_size=batch_size,
        on_cell=lambda *_: None,
    )
    print(began, time.time(), flush=True)


def _memory() -> Row:
    """The median of several processes each, which differ by some percent."""
    peaks = {kind: median(_peak(kind) for _ in range(PROCESSES)) for kind in ("fp32", "hwa")}
    detail = {f"{kind} in MiB": value for kind, value in peaks.items()}
    return Row(
        "peak memory of fine-tuning ResNet-20", "x fp32", peaks["hwa"] / peaks["fp32"], 1.5, detail=detail
    )


def _peak(kind: str) -> float:
    code = f"from benchmarks.service import peak; print(peak({kind!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout.split()[-1])


def peak(kind: str) -> float:
    """Return the MiB that a process needs at most for some training steps of ResNet-20 on 64 images."""
    import torch

    from benchmarks import networks
    from benchmarks.steps import training_step
    from examples.resnet import resnet20

    digital = resnet20()
    model = digital if kind == "fp32" else convert_to_analog(digital, networks.standard(), channels_last=True)
    step = training_step(model, torch.rand(64, 3, 32, 32))
    for _ in range(STEPS):
        step()
    status = Path("/proc/self/status").read_text()  # what getrusage says begins with the parent's peak
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _demo() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "examples.demo"],
            check=True,
            cwd=folder,
            env=environment,
            capture_output=True,
        )
        seconds = time.perf_counter() - start
    return Row(
        "make demo, everything installed", "s", seconds, 90, detail={"epochs": DEMO_JOB["finetune"]["epochs"]}
    )

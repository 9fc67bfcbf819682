"""Real services: API, workers, zygotes and runners as processes of their own, on both kinds of backend."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from driftline import Driftline
from driftline.resources.jobs import FINAL_STATES
from tests.waiting import until
from worker.local import LocalService

MODEL = Path(__file__).parents[2] / "examples" / "mnist_cnn.onnx"

StartService = Callable[..., AbstractContextManager[tuple[LocalService, Driftline]]]


def small_job(model: str, **changes: Any) -> dict[str, Any]:
    """A job of a few seconds: little data, but every step."""
    job: dict[str, Any] = {
        "model": model,
        "dataset": "builtin:mnist10k",
        "rpu_config": {
            "preset": "PCMExamplePreset",
            "overrides": {"modifier": {"type": "AddNormal", "std_dev": 0.1}},
        },
        "finetune": {
            "epochs": 3,
            "batch_size": 32,
            "max_samples": 640,
            "optimizer": {"type": "sgd", "lr": 0.01, "momentum": 0.9},
            "scheduler": {"type": "cosine"},
        },
        "evaluate": {
            "t_inference": [1, 3600, 31536000],
            "repeats": 5,
            "batch_size": 100,
            "max_samples": 200,
            "variants": ["digital", "direct", "hwa"],
        },
        "seed": 7,
    }
    return {**job, **changes}


def processes() -> list[tuple[int, int, str]]:
    """Return (pid, parent's pid, command line) of all processes."""
    listing = subprocess.run(["ps", "-Ao", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = (line.split(None, 2) for line in listing.stdout.splitlines())
    return [(int(row[0]), int(row[1]), row[2] if len(row) > 2 else "") for row in rows]


def children_of(parent: int) -> list[int]:
    """Return the children of a process."""
    return [pid for pid, ppid, _ in processes() if ppid == parent]


def runners_of(worker: int) -> list[int]:
    """Return the runners of a worker: the children of its zygote."""
    zygotes = [
        pid for pid, ppid, args in processes() if ppid == worker and "worker.supervision.zygote" in args
    ]
    return [runner for zygote in zygotes for runner in children_of(zygote)]


@contextmanager
def watched(service: LocalService) -> Iterator[None]:
    """Start again what ends, as `make run` does."""
    stop = threading.Event()
    watcher = threading.Thread(target=service.watch, args=(stop,))
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def kill(pid: int) -> None:
    """Kill a process as the kernel's out-of-memory killer would; one that has just ended is left alone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start_service(tmp_path: Path) -> StartService:
    """Start services in this test's folder; other settings than the defaults by name."""

    @contextmanager
    def start(*, workers: int = 1, **changes: Any) -> Iterator[tuple[LocalService, Driftline]]:
        settings = Settings(
            **{
                "data_dir": tmp_path / "service",
                "port": 0,
                "threads_per_item": 1,
                "worker_concurrency": 1,
                "lease_s": 6.0,
                "heartbeat_s": 1.0,
                "sweep_s": 1.0,
                "cancel_grace_s": 3.0,
                **changes,
            }
        )
        with LocalService(settings, workers=workers) as service, Driftline(service.url) as driftline:
            yield service, driftline

    return start


@pytest.fixture(params=["sqlite, embedded broker", "PostgreSQL, Redis", "sqlite, files"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of each combination that is supported."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if request.param == "PostgreSQL, Redis":
        redis_url = request.getfixturevalue("redis_url")
        return {"database_url": request.getfixturevalue("postgres_url"), "redis_url": redis_url}
    if request.param == "sqlite, files":
        monkeypatch.setattr("worker.local._broker_binary", lambda: None)
    return {}


def run_job(driftline: Driftline) -> dict[str, Any]:
    """Run the small job to its end; return what it found."""
    model = driftline.upload_model(MODEL)
    job = driftline.submit(small_job(model["id"]))
    return finished(driftline, job["id"])


def finished(driftline: Driftline, job_id: str) -> dict[str, Any]:
    """Wait for a job; return what it found."""

    def ended() -> dict[str, Any] | None:
        job = driftline.job(job_id)
        return job if job["state"] in FINAL_STATES else None

    job = until(ended, "the job to end")
    assert job["state"] == "succeeded", job["failure"]
    results = driftline.results(job_id, cells=True)
    epochs = driftline.history(job_id)["epochs"]
    return {
        "cells": results["cells"],
        "baseline": results["baseline"],
        "epochs": [(one["epoch"], one["train_loss"], one["train_accuracy"]) for one in epochs],
    }


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one worker with one shard computes when nothing happens to it."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("undisturbed"), port=0, threads_per_item=1, worker_concurrency=1,
        repeats_per_shard=1000, sweep_s=1.0,
    )  # fmt: skip
    with LocalService(settings) as service, Driftline(service.url) as driftline:
        return run_job(driftline)

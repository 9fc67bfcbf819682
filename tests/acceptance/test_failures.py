"""Jobs that cannot be done end with a code that says why, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from driftline import Driftline
from tests.waiting import until

from .conftest import MODEL, StartService, small_job

MIB = 1 << 20


def failure(driftline: Driftline, **changes: Any) -> dict[str, Any]:
    """Run a job that fails; return what it says."""
    model = driftline.upload_model(MODEL)
    job = driftline.submit(small_job(model["id"], **changes))["id"]
    ended = until(lambda: _ended(driftline, job), "the job to end")
    assert ended["state"] == "failed"
    found: dict[str, Any] = ended["failure"]
    return found


def _ended(driftline: Driftline, job_id: str) -> dict[str, Any] | None:
    job = driftline.job(job_id)
    return job if job["state"] in ("succeeded", "failed", "cancelled") else None


def test_training_that_diverges(start_service: StartService) -> None:
    wild = {"epochs": 3, "max_samples": 640, "loss": "mse", "optimizer": {"type": "sgd", "lr": 1000.0}}
    with start_service() as (_, driftline):
        found = failure(driftline, finetune=wild)
    assert (found["code"], found["retryable"]) == ("non_finite_loss", False)
    assert "lower the learning rate" in found["message"]


def test_an_item_that_takes_too_long(start_service: StartService) -> None:
    long = {"epochs": 1000, "optimizer": {"type": "sgd", "lr": 0.01}}
    with start_service(item_timeout_s=3.0) as (_, driftline):
        found = failure(driftline, finetune=long)
    assert found["code"] == "timeout"
    assert "3 s" in found["message"]


def test_an_item_that_needs_too_much_memory(start_service: StartService) -> None:
    wide = {"epochs": 1, "batch_size": 4096, "optimizer": {"type": "sgd", "lr": 0.01}}
    with start_service(item_memory_bytes=700 * MIB, max_attempts=2) as (_, driftline):
        found = failure(driftline, finetune=wide)
    assert (found["code"], found["retryable"]) == ("out_of_memory", True)
    assert "batch_size" in found["message"]


def test_a_job_for_a_device_that_no_worker_has_waits_and_says_so(start_service: StartService) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with start_service() as (_, driftline):
        until(driftline.workers, "a worker")
        model = driftline.upload_model(MODEL)
        job = driftline.submit(small_job(model["id"], device="cuda"))["id"]
        waits = until(lambda: _waits_for(driftline, job) == "no_worker_is_able", "the reason", 30)
        assert waits
        driftline.cancel(job)


def _waits_for(driftline: Driftline, job: str) -> str | None:
    queue = driftline.job(job)["queue"]
    return None if queue is None else str(queue["reason"])

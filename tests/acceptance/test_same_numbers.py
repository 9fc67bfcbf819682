"""The same job gives the same cells: on one worker or four, in one shard or five, killed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driftline import Driftline
from tests.waiting import until

from .conftest import (
    MODEL,
    StartService,
    children_of,
    finished,
    kill,
    processes,
    run_job,
    runners_of,
    small_job,
)


def test_on_four_workers_in_five_shards(start_service: StartService, undisturbed: dict[str, Any]) -> None:
    with start_service(workers=4, repeats_per_shard=1) as (_, driftline):
        assert run_job(driftline) == undisturbed


def test_when_its_runner_is_killed_in_fine_tuning_and_again_in_evaluation(
    start_service: StartService, undisturbed: dict[str, Any]
) -> None:
    with start_service(repeats_per_shard=5) as (service, driftline):
        worker = service.process_id("worker 0")
        model = driftline.upload_model(MODEL)
        job = driftline.submit(small_job(model["id"]))["id"]

        until(lambda: driftline.history(job)["epochs"], "the first epoch")
        kill(until(lambda: runners_of(worker), "a runner")[0])
        until(lambda: driftline.job(job)["attempt"] == 2, "the second attempt")
        assert len(driftline.history(job)["epochs"]) < 3, "killed too late to tell anything"

        until(lambda: _cells(driftline, job, "hwa"), "the first cell of the fine-tuned network")
        kill(until(lambda: runners_of(worker), "a runner")[0])
        assert len(driftline.results(job, cells=True)["cells"]) < 30, "killed too late to tell anything"

        assert finished(driftline, job) == undisturbed
        events = [event["type"] for event in driftline.events(job, follow=False)]
        assert events.count("item.requeued") == 2


def test_when_the_whole_worker_is_killed(start_service: StartService, undisturbed: dict[str, Any]) -> None:
    with start_service(workers=2, repeats_per_shard=2) as (service, driftline):
        model = driftline.upload_model(MODEL)
        job = driftline.submit(small_job(model["id"]))["id"]
        until(lambda: driftline.history(job)["epochs"], "the first epoch")
        busy = next(
            worker
            for worker in (service.process_id("worker 0"), service.process_id("worker 1"))
            if runners_of(worker)
        )
        family = [busy, *children_of(busy), *runners_of(busy)]
        service.abandon(busy)
        kill(busy)
        assert finished(driftline, job) == undisturbed
        until(lambda: not _alive(family), "the dead worker's zygote and runners to be gone", 20)


def test_when_every_message_is_lost(
    start_service: StartService, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The API rings on a broker that nobody listens to; the worker's sweep finds the job all the same.
    monkeypatch.setattr("worker.local._broker_binary", lambda: None)
    with start_service(workers=0) as (service, driftline):
        model = driftline.upload_model(MODEL)
        job = driftline.submit(small_job(model["id"]))["id"]
        for message in Path(service.data_dir, "broker", "queue").iterdir():
            message.unlink()
        service.start_worker("worker 0")
        assert finished(driftline, job) == undisturbed


def _cells(driftline: Driftline, job: str, variant: str) -> list[dict[str, Any]]:
    return [cell for cell in driftline.results(job, cells=True)["cells"] if cell["variant"] == variant]


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid, _, args in processes() if pid in pids and "<defunct>" not in args]

"""Jobs whose input ranges are calibrated: the same numbers whatever is killed, and as the library computes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from driftline import Driftline
from simulator.config import CalibrationSpec, FinetuneSpec, resolve
from simulator.config.tasks import Task
from simulator.data.loading import load_dataset
from simulator.evaluate import Samples, evaluate_cells
from simulator.nn import calibrate_input_ranges, convert_to_analog, remap_for_programming
from simulator.onnx.importer import import_model
from simulator.train import finetune
from tests.waiting import until

from .conftest import MODEL, StartService, kill, runners_of, small_job

MODIFIER = {"type": "AddNormal", "std_dev": 0.1}
CONFIGS = {
    "preset": {"preset": "StandardHWATrainingPreset", "overrides": {"modifier": MODIFIER}},
    "AbsMax": {
        "preset": "PCMExamplePreset",
        "overrides": {
            "modifier": MODIFIER,
            "pre_post": {"input_range": {"enable": True, "learn_input_range": False, "init_from_data": 7}},
        },
    },
}
ANALOG = ("direct", "hwa")


def job_on(name: str, model: str = "") -> dict[str, Any]:
    job = small_job(model, rpu_config=CONFIGS[name])
    job["calibration"] = {"method": "MovingStd", "batches": 40}
    job["evaluate"]["repeats"] = 3
    return job


def finished(driftline: Driftline, job_id: str) -> dict[str, Any]:
    job = until(lambda: _ended(driftline, job_id), "the job to end")
    assert job["state"] == "succeeded", job["failure"]
    cells = driftline.results(job_id, cells=True)["cells"]
    return {
        "cells": {
            (cell["variant"], cell["repeat"], cell["t_inference"]): (cell["correct"], cell["loss_sum"])
            for cell in cells
        },
        "losses": [epoch["train_loss"] for epoch in driftline.history(job_id)["epochs"]],
    }


def _ended(driftline: Driftline, job_id: str) -> dict[str, Any] | None:
    job = driftline.job(job_id)
    return job if job["state"] in ("succeeded", "failed", "cancelled") else None


@pytest.fixture(scope="module", params=list(CONFIGS))
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    """A configuration, and what one worker computes with it when nothing happens."""
    from app.settings import Settings
    from worker.local import LocalService

    settings = Settings(
        data_dir=tmp_path_factory.mktemp("undisturbed"), port=0, threads_per_item=1, worker_concurrency=1,
        repeats_per_shard=1000, sweep_s=1.0,
    )  # fmt: skip
    with LocalService(settings) as service, Driftline(service.url) as driftline:
        model = driftline.upload_model(MODEL)
        job = driftline.submit(job_on(request.param, model["id"]))
        return request.param, finished(driftline, job["id"])


def test_the_library_computes_the_same(case: tuple[str, dict[str, Any]]) -> None:
    name, found = case
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cells, losses = computed_by_the_library(name)
    finally:
        torch.set_num_threads(threads)
    assert losses == found["losses"]
    assert cells == found["cells"]


def computed_by_the_library(name: str) -> tuple[dict[tuple[str, int, float], Any], list[float]]:
    job, dataset = job_on(name), load_dataset("builtin:mnist10k")
    evaluate, seed = job["evaluate"], job["seed"]
    train, test = (Samples(part.inputs, part.targets) for part in (dataset.train, dataset.test))

    def converted() -> nn.Module:
        module = import_model(MODEL.read_bytes()).module
        analog = convert_to_analog(module, resolve(CONFIGS[name]), seed=seed, channels_last=True).eval()
        return calibrated(analog)

    def calibrated(analog: nn.Module) -> nn.Module:
        method = CalibrationSpec.model_validate(job["calibration"])
        batches = train.inputs[0].split(evaluate["batch_size"])[: method.batches]
        calibrate_input_ranges(analog, batches, method=method.method, std_alpha=method.std_alpha, seed=seed)
        return analog

    losses: list[float] = []
    trained = finetune(
        converted(),
        train,
        FinetuneSpec.model_validate(job["finetune"]),
        task=Task.CLASSIFICATION,
        seed=seed,
        on_epoch=lambda report, _: losses.append(report.train_loss),
    )
    remap_for_programming(trained)
    if not resolve(CONFIGS[name]).pre_post.input_range.learn_input_range:
        calibrated(trained)
    cells: dict[tuple[str, int, float], Any] = {}
    for variant, model in (("direct", converted()), ("hwa", trained)):
        evaluate_cells(
            model,
            test.first(evaluate["max_samples"]),
            task=Task.CLASSIFICATION,
            repeats=range(evaluate["repeats"]),
            times_s=evaluate["t_inference"],
            batch_size=evaluate["batch_size"],
            on_cell=lambda repeat, t, score, variant=variant: cells.update(
                {(variant, repeat, t): (score.correct, score.loss_sum)}
            ),
        )
    return cells, losses


@pytest.mark.parametrize("workers", [1, 4])
def test_kills_in_every_phase_change_nothing(
    start_service: StartService, case: tuple[str, dict[str, Any]], workers: int
) -> None:
    name, undisturbed = case
    with start_service(workers=workers, repeats_per_shard=1, max_attempts=30) as (service, driftline):
        pids = [service.process_id(f"worker {number}") for number in range(workers)]
        model = driftline.upload_model(MODEL)
        job = driftline.submit(job_on(name, model["id"]))["id"]

        def kill_all(what: str) -> None:
            for runner in until(lambda: [one for pid in pids for one in runners_of(pid)], what):
                kill(runner)

        until(lambda: _started(driftline, job, "finetune:hwa"), "training to start")
        kill_all("the runner that calibrates before training")
        for epochs in (1, 2):
            until(lambda epochs=epochs: len(driftline.history(job)["epochs"]) >= epochs, "an epoch")
            kill_all("a runner in the next epoch")
        until(lambda: _started(driftline, job, "calibrate:direct"), "the calibration to start")
        kill_all("the runner that calibrates")
        for variant in ANALOG:
            until(lambda variant=variant: _cells(driftline, job, variant), "a cell")
            kill_all("a runner that evaluates")
        assert finished(driftline, job) == undisturbed
        requeued = [
            event for event in driftline.events(job, follow=False) if event["type"] == "item.requeued"
        ]
        assert len(requeued) >= 4, "killed too late to tell anything"


def _started(driftline: Driftline, job: str, item: str) -> bool:
    events = list(driftline.events(job, follow=False))
    return any(event["type"] == "item.started" and event["data"]["item"] == item for event in events)


def _cells(driftline: Driftline, job: str, variant: str) -> list[dict[str, Any]]:
    return [cell for cell in driftline.results(job, cells=True)["cells"] if cell["variant"] == variant]


def test_the_state_file_says_which_ranges_hold(start_service: StartService, tmp_path: Path) -> None:
    from safetensors.torch import load

    with start_service() as (_, driftline):
        model = driftline.upload_model(MODEL)
        job = job_on("AbsMax", model["id"])
        job["evaluate"]["variants"] = ["direct"]
        job["finetune"] = None
        submitted = driftline.submit(job)["id"]
        finished(driftline, submitted)
        state = load(driftline.artifact(submitted, "analog_state.safetensors"))
    assert [key for key in state if key.endswith("input_range")]

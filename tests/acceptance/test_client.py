"""The client and the command line against whole services, also while the service is killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from driftline import AsyncDriftline, Driftline, InvalidRequest, JobFailed
from tests.acceptance.conftest import MODEL, StartService, kill, small_job, watched
from tests.waiting import until

ROOT = Path(__file__).parents[2]


def test_from_a_torch_module_to_tables_pictures_and_words(
    start_service: StartService, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Linear(16, 3)
    )
    x = np.random.default_rng(0).normal(size=(300, 4))
    y = x[:, :3].argmax(axis=1)
    with start_service() as (_, driftline):
        job = driftline.run(
            module, (x, y), overrides={"modifier": {"type": "AddNormal", "std_dev": 0.1}}, finetune=2, repeats=3,
            times=["1 s", "1 month"], name="from torch", tags=["test"], progress=False,
        )  # fmt: skip
        assert job.succeeded
        results = job.results()
        assert [series.variant for series in results.series] == ["direct", "hwa"]
        assert [point.t_inference for point in results.series[0].points] == [1.0, 2592000.0]
        assert len(results.to_pandas()) == 4
        assert len(results.to_pandas(cells=True)) == 12  # read from the service, since they were left out
        assert job.plot().axes[0].has_data()
        assert len(job.history().to_pandas()) == 2
        assert [event.type for event in job.events()][-1] == "job.succeeded"

        summary = job.summary()
        assert str(summary) == summary.headline
        assert "Digital" in summary.headline
        lifetime = job.lifetime(drop=0.2)
        assert lifetime.threshold == pytest.approx(lifetime.digital - 0.2)
        assert {one["variant"] for one in lifetime.series} == {"direct", "hwa"}
        assert lifetime.plot().axes

        assert {one.name for one in job.artifacts()} >= {"finetuned.onnx", "provenance.json"}
        network = job.download("finetuned.onnx", tmp_path)
        assert [node.op_type for node in onnx.load(network).graph.node]

        longer = job.extend(repeats=4, t_inference="1 day").wait(progress=False)
        assert longer.extends == job.id
        assert driftline.compare(job, longer).to_pandas()["job"].nunique() == 2
        again = driftline.run(module, (x, y), times=[1], repeats=1, progress=False)
        assert again.spec["model"] == job.spec["model"]  # equal modules and equal arrays are known already
        assert again.spec["dataset"] == job.spec["dataset"]


def test_waiting_and_events_outlive_the_death_of_the_api(start_service: StartService) -> None:
    with start_service() as (service, driftline), watched(service):
        model = driftline.upload_model(MODEL)
        spec = small_job(model.id)
        spec["finetune"]["epochs"] = 12
        job = driftline.submit(spec)
        told: list[int] = []
        listener = threading.Thread(target=lambda: told.extend(event.seq for event in job.events()))
        listener.start()
        killed: list[int] = []

        def kill_twice(now) -> None:
            epochs = now.progress.fraction
            if len(killed) < 2 and epochs > (0.1, 0.4)[len(killed)]:
                killed.append(service.process_id("api"))
                kill(killed[-1])

        job = driftline.job(job)
        job.wait(progress=False, on_change=kill_twice)
        assert job.succeeded
        assert len(set(killed)) == 2
        listener.join(60)
        assert not listener.is_alive()
        assert told == [event.seq for event in job.events(follow=False)]


def test_many_jobs_come_back_in_order(start_service: StartService) -> None:
    with start_service() as (_, driftline):
        model = driftline.upload_model(MODEL)
        spec = {
            "model": model, "dataset": "builtin:mnist10k", "rpu_config": {"preset": "PCMExamplePreset"},
            "evaluate": {"t_inference": [1], "repeats": 1, "max_samples": 50},
        }  # fmt: skip
        specs = [{**spec, "name": f"n{seed}", "seed": seed} for seed in range(6)]
        specs[2] = {**specs[2], "dataset": "builtin:nothing"}
        found = driftline.map(specs, max_in_flight=3, return_exceptions=True, progress=False)
        assert [getattr(one, "name", None) for one in found] == ["n0", "n1", None, "n3", "n4", "n5"]
        assert isinstance(found[2], InvalidRequest)
        assert all(one.succeeded for one in found if one is not found[2])
        with pytest.raises(InvalidRequest):
            driftline.map(specs, progress=False)

        async def the_same() -> list[str | None]:
            async with AsyncDriftline(driftline.base_url) as client:
                return [job.name for job in await client.map(specs[3:], progress=False)]

        assert asyncio.run(the_same()) == ["n3", "n4", "n5"]
        assert driftline.map([], progress=False) == []


def test_a_failure_is_told_in_plain_words(start_service: StartService) -> None:
    with start_service() as (_, driftline):
        wild = {"epochs": 3, "max_samples": 640, "loss": "mse", "optimizer": {"type": "sgd", "lr": 1000.0}}
        spec = small_job(driftline.upload_model(MODEL).id, finetune=wild)
        with pytest.raises(JobFailed, match=r"failed.*: the loss became .*lower the learning rate") as told:
            driftline.submit(spec).wait(progress=False)
        assert told.value.job["failure"]["code"] == "non_finite_loss"


def test_the_command_line_from_a_file_to_a_picture(start_service: StartService, tmp_path: Path) -> None:
    with start_service() as (_, driftline):
        environment = {**os.environ, "DRIFTLINE_URL": driftline.base_url, "PYTHONPATH": str(ROOT)}

        def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "driftline", *arguments]
            found = subprocess.run(
                command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert found.returncode == 0, found.stderr
            return found

        options = ["--model", str(MODEL), "--data", "builtin:mnist10k", "--preset", "PCMExamplePreset"]
        options += [
            "--times",
            "1 s, 1 day",
            "--repeats",
            "2",
            "--max-samples",
            "100",
            "--finetune-epochs",
            "1",
        ]
        options += ["--set", "/finetune/max_samples=320", "--name", "first"]
        watched = cli("submit", *options, "--watch")
        assert "1 day" in watched.stdout
        assert "hwa" in watched.stdout
        assert "succeeded" in watched.stderr
        cli("submit", *options, "--name", "second", "--seed", "1", "--watch", "--json")
        assert "Digital" in cli("summary", "first").stdout
        assert "/spec/seed" in cli("compare", "first", "second").stdout
        cli("results", "first", "-o", "curve.png")
        assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
        assert len((tmp_path / "curve.png").read_bytes()) > 5000
        cli("export", "first", "out", "--all")
        assert {"finetuned.onnx", "provenance.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
        listed = json.loads(cli("jobs", "--json").stdout)
        assert [job["name"] for job in listed] == ["second", "first"]


def test_up_starts_the_service_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "driftline", "up", "--port", "0", "--data-dir", str(tmp_path / "data")]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        address = until(lambda: _address_in(process.stderr.readline()), "the address", 60)
        with Driftline(address) as driftline:
            assert driftline.jobs() == []
        process.terminate()
        assert process.wait(60) == 0


def _address_in(line: str) -> str:
    return line.split()[3] if line.startswith("Driftline is at ") else ""

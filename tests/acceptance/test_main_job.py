"""The main job, end to end: a model and a configuration go in over HTTP, accuracy over time comes out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from driftline import ApiError

from .conftest import MODEL, StartService, small_job


def test_accuracy_over_time_comes_out(
    start_service: StartService, backend: dict[str, Any], tmp_path: Path
) -> None:
    with start_service(**backend) as (_, driftline):
        model = driftline.upload_model(MODEL)
        seen: list[dict[str, Any]] = []
        job = driftline.submit(small_job(model["id"], name="small", tags=["test"]))
        job = driftline.wait(job["id"], on_change=seen.append)
        assert job["state"] == "succeeded", job["failure"]
        assert job["progress"]["fraction"] == 1.0
        fractions = [one["progress"]["fraction"] for one in seen]
        assert fractions == sorted(fractions)
        assert {"finetune", "evaluate"} <= {one["phase"] for one in seen}

        results = driftline.results(job["id"], cells=True)
        assert results["complete"]
        assert results["metric"] == "accuracy"
        assert results["baseline"]["digital"]["accuracy"] > 0.95
        assert results["baseline"]["digital"]["total"] == 200
        by_variant = {one["variant"]: one["points"] for one in results["series"]}
        assert set(by_variant) == {"direct", "hwa"}
        for points in by_variant.values():
            assert [point["t_inference"] for point in points] == [1.0, 3600.0, 31536000.0]
            assert all(point["repeats"] == 5 for point in points)
            assert all(point["ci95"][0] <= point["mean"] <= point["ci95"][1] for point in points)
        assert by_variant["direct"][0]["mean"] > 0.8  # it is a network, not noise
        assert len(results["cells"]) == 2 * 3 * 5

        history = driftline.history(job["id"])["epochs"]
        assert [epoch["epoch"] for epoch in history] == [0, 1, 2]
        assert history[-1]["train_accuracy"] > 0.9

        rows = list(csv.DictReader(io.StringIO(driftline.results_as(job["id"], "csv").decode())))
        assert [float(row["mean"]) for row in rows] == [
            point["mean"] for one in results["series"] for point in one["points"]
        ]
        assert driftline.results_as(job["id"], "svg").startswith(b"<?xml")
        assert driftline.results_as(job["id"], "png").startswith(b"\x89PNG")

        provenance = json.loads(driftline.artifact(job["id"], "provenance.json"))
        assert provenance["seed"] == 7
        assert provenance["model"]["sha256"] == model["sha256"]
        conversion = json.loads(driftline.artifact(job["id"], "conversion.json"))
        assert conversion["variant"] == "hwa"
        assert conversion["devices"] > 0
        assert all(10 < layer["snr_db"] < 60 for layer in conversion["layers"])
        finetuned = driftline.artifact(job["id"], "finetuned.onnx")
        _is_the_fine_tuned_network(finetuned)

        model_now = driftline.model(model["id"])
        assert model_now["verification"]["state"] == "passed"
        assert model_now["verification"]["max_rel_diff"] < 1e-4
        with pytest.raises(ApiError, match="409"):
            driftline.cancel(job["id"])
        driftline.delete(job["id"])
        with pytest.raises(ApiError, match="404"):
            driftline.job(job["id"])
        assert not list((tmp_path / "service" / "blobs" / "jobs").glob(f"{job['id']}/**/*"))


def _is_the_fine_tuned_network(data: bytes) -> None:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    original = onnxruntime.InferenceSession(MODEL.read_bytes(), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == [one.name for one in original.get_inputs()]
    name = session.get_inputs()[0].name
    images = np.random.default_rng(0).random((4, 1, 28, 28), dtype=np.float32)
    before, after = (one.run(None, {name: images})[0] for one in (original, session))
    assert before.shape == after.shape
    assert not np.allclose(before, after)


def test_cancelling_stops_the_runner_and_keeps_what_was_computed(
    start_service: StartService, backend: dict[str, Any]
) -> None:
    with start_service(**backend) as (_, driftline):
        model = driftline.upload_model(MODEL)
        spec = small_job(model["id"])
        spec["finetune"]["epochs"] = 500
        job = driftline.submit(spec)

        def seen(now: dict[str, Any]) -> None:
            if now["state"] == "running" and driftline.history(job["id"])["epochs"] and not asked:
                asked.append(driftline.cancel(job["id"])["state"])

        asked: list[str] = []
        job = driftline.wait(job["id"], on_change=seen, raise_on_failure=False)
        assert job["state"] == "cancelled"
        assert asked == ["cancelling"]
        assert driftline.history(job["id"])["epochs"]
        with pytest.raises(ApiError) as refused:
            driftline.cancel(job["id"])
        assert (refused.value.status, refused.value.problem["code"]) == (409, "job_ended")

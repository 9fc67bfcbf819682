"""Models and datasets of kinds that people have, through a real service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cases import FOLDER
from tests.waiting import until

from .conftest import StartService

FINETUNE = {"epochs": 2, "batch_size": 16, "optimizer": {"type": "adam", "lr": 0.005}}


def one_hot_classes(folder: Path) -> Path:
    arrays = dict(np.load(FOLDER / "classes.npz"))
    for part in ("y_train", "y_test"):
        arrays[part] = np.eye(4, dtype=np.float32)[arrays[part]]
    path = folder / "one-hot.npz"
    np.savez(path, **arrays)
    return path


def test_files_as_people_have_them_are_simulated(start_service: StartService, tmp_path: Path) -> None:
    with start_service() as (_, driftline):

        def run(model: str, data: Path, task: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
            uploaded = driftline.upload_model(FOLDER / model)
            job = driftline.submit(
                {
                    "model": uploaded["id"],
                    "dataset": driftline.upload_dataset(data)["id"],
                    "rpu_config": {"preset": "PCMExamplePreset"},
                    "finetune": FINETUNE,
                    "evaluate": {"t_inference": [1], "repeats": 1, "variants": ["digital", "direct", "hwa"]},
                    **({} if task is None else {"task": task}),
                }
            )
            job = until(lambda: _ended(driftline.job(job["id"])), "the job's end")
            assert job["state"] == "succeeded", (model, job["failure"])
            assert driftline.model(uploaded["id"])["verification"]["state"] == "passed"
            return job, driftline.results(job["id"])

        def codes(job: dict[str, Any]) -> set[str]:
            return {warning["code"] for warning in job["warnings"]}

        job, results = run("multi-label-sigmoid.onnx", FOLDER / "multi-label.npz")
        assert results["task"] == "multi_label"
        assert results["baseline"]["digital"]["accuracy"] == pytest.approx(0.966, abs=0.01)
        assert "output_activation" in codes(job)

        job, results = run("binary-sigmoid.onnx", FOLDER / "binary-column.npz")
        assert (results["task"], results["metric"]) == ("classification", "accuracy")
        assert results["baseline"]["digital"]["accuracy"] > 0.8
        assert {"output_activation", "task_inferred"} <= codes(job)

        job, results = run("cls_logits.onnx", one_hot_classes(tmp_path))
        assert results["task"] == "classification"
        assert results["baseline"]["digital"]["accuracy"] > 0.8
        assert "one_hot_labels" in codes(job)

        _, results = run("time-first-open.onnx", FOLDER / "sequences.npz")
        assert results["task"] == "classification"

        _, results = run("dequantize-opset13.onnx", FOLDER / "classes.npz")
        assert results["baseline"]["hwa"]["accuracy"] > results["baseline"]["digital"]["accuracy"]


def _ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in ("succeeded", "failed", "cancelled") else None

"""Jobs of every task, on uploaded models and datasets, through a real service."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from torch import Tensor, nn

from tests.waiting import until

from .conftest import StartService

SAMPLES, TOKENS, WORDS = 60, 6, 9


class LanguageModel(nn.Module):
    """Says what comes next in sequences that count up."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16)
        self.gru = nn.GRU(16, 24, batch_first=True)
        self.head = nn.Linear(24, WORDS)

    def forward(self, ids: Tensor) -> Tensor:
        y, _ = self.gru(self.embedding(ids))
        return self.head(y)


def exported(module: nn.Module, x: Tensor) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the exporter says of itself
        torch.onnx.export(
            module.eval(),
            (x,),
            file,
            input_names=["x"],
            dynamo=False,
            opset_version=17,
            dynamic_axes={"x": {0: "n"}},
        )
    return file.getvalue()


def labels(folder: Path) -> tuple[bytes, Path, dict[str, Any]]:
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((SAMPLES, 5)).astype(np.float32)
    y = (x[:, :3] + 0.1 > 0).astype(np.uint8)
    path = folder / "labels.npz"
    np.savez(path, x=x, y=y)
    network = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))
    return exported(network, torch.zeros(2, 5)), path, {}


def tokens(folder: Path) -> tuple[bytes, Path, dict[str, Any]]:
    torch.manual_seed(0)
    starts = np.arange(SAMPLES)[:, None] % WORDS
    ids = (starts + np.arange(TOKENS + 1)) % WORDS
    path = folder / "tokens.parquet"
    parquet.write_table(pa.table({"x": list(ids[:, :-1]), "y": list(ids[:, 1:])}), path)
    return exported(LanguageModel(), torch.zeros(2, TOKENS, dtype=torch.long)), path, {"task": "next_token"}


def values(folder: Path) -> tuple[bytes, Path, dict[str, Any]]:
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((SAMPLES, 4))
    rows = "\n".join(",".join(f"{value:.5f}" for value in (*row, row.sum())) for row in x)
    path = folder / "values.csv"
    path.write_text(f"a,b,c,d,y\n{rows}\n")
    return exported(nn.Linear(4, 1), torch.zeros(2, 4)), path, {}


CASES = {
    "multi_label": (labels, "accuracy"),
    "next_token": (tokens, "perplexity"),
    "regression": (values, "mse"),
}


@pytest.mark.parametrize("task", CASES)
def test_fine_tuning_helps_in_every_task(start_service: StartService, tmp_path: Path, task: str) -> None:
    make, metric = CASES[task]
    model_bytes, data, more = make(tmp_path)
    (tmp_path / "model.onnx").write_bytes(model_bytes)
    with start_service() as (_, driftline):
        model = driftline.upload_model(tmp_path / "model.onnx")
        dataset = driftline.upload_dataset(data, test_fraction=0.3, seed=1)
        job = driftline.submit(
            {
                "model": model["id"],
                "dataset": dataset["id"],
                "rpu_config": {
                    "preset": "PCMExamplePreset",
                    "overrides": {"modifier": {"type": "AddNormal", "std_dev": 0.03}},
                },
                "finetune": {"epochs": 15, "batch_size": 8, "optimizer": {"type": "adam", "lr": 0.02}},
                "evaluate": {
                    "t_inference": [1, 86400],
                    "repeats": 2,
                    "variants": ["digital", "direct", "hwa"],
                },
                **more,
            }
        )
        job = until(lambda: _ended(driftline.job(job["id"])), "the job's end")
        assert job["state"] == "succeeded", job["failure"]
        assert job["progress"]["fraction"] == 1.0
        results = driftline.results(job["id"], cells=True)
        assert (results["task"], results["metric"]) == (task, metric)
        means = {one["variant"]: one["points"][0]["mean"] for one in results["series"]}
        if metric == "accuracy":
            assert means["hwa"] > means["direct"] + 0.1
        else:
            assert means["hwa"] < means["direct"] / 2
        assert results["baseline"]["hwa"][metric] == pytest.approx(means["hwa"], rel=0.5, abs=0.1)
        if task == "regression":
            assert results["baseline"]["hwa"]["r2"] > 0.9
            assert all(point["r2_mean"] is not None for one in results["series"] for point in one["points"])
        if task == "next_token":
            assert {cell["total"] for cell in results["cells"]} == {18 * TOKENS}
            assert results["series"][0]["points"][0]["top5_mean"] is not None
        assert driftline.results_as(job["id"], "svg").startswith(b"<?xml")


def _ended(job: dict[str, Any]) -> dict[str, Any] | None:
    return job if job["state"] in ("succeeded", "failed", "cancelled") else None

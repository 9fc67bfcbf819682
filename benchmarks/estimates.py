"""Are the estimates of dry runs any good? Three are held against real jobs: `python -m benchmarks.estimates`.

Prints estimated seconds, measured seconds (of the work items, one worker) and their ratio.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

from app.settings import Settings
from driftline import Driftline
from examples.resnet import resnet20
from worker.local import LocalService

ROOT = Path(__file__).parents[1]
EVALUATE = {"repeats": 5, "t_inference": [1, 3600], "variants": ["digital", "direct"]}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder) / "service", port=0, worker_concurrency=1, sweep_s=1.0)
        with LocalService(settings) as service, Driftline(service.url, timeout_s=120) as driftline:
            worst = 1.0
            for name, job in _jobs(driftline, Path(folder)).items():
                estimate = _estimate(driftline, job)
                measured = _seconds(driftline.submit(job).wait(progress=False))
                ratio = estimate / measured
                worst = max(worst, ratio, 1 / ratio)
                print(
                    f"{name:<24} estimated {estimate:6.1f} s  measured {measured:6.1f} s  ratio {ratio:.2f}"
                )
    print(f"within a factor of {worst:.2f}")
    return 0


def _jobs(driftline: Driftline, folder: Path) -> dict[str, dict]:
    digits = driftline.upload_model(ROOT / "examples" / "mnist_cnn.onnx")["id"]
    mlp = driftline.upload_model(ROOT / "tests" / "golden" / "data" / "H_mlp.onnx")["id"]
    path = folder / "resnet20.onnx"
    path.write_bytes(_export_resnet())
    resnet = driftline.upload_model(path)["id"]
    data = folder / "images.npz"
    rng = np.random.default_rng(0)
    x, y = rng.random((400, 3, 32, 32), dtype=np.float32), rng.integers(0, 10, 400)
    np.savez_compressed(data, x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    images = driftline.upload_dataset(data)["id"]
    preset = {"preset": "PCMExamplePreset", "overrides": {"modifier": {"type": "AddNormal", "std_dev": 0.1}}}
    train = {"epochs": 2, "optimizer": {"type": "sgd", "lr": 0.01}}
    return {
        "digits CNN, trained": {
            "model": digits, "dataset": "builtin:mnist10k", "rpu_config": preset,
            "finetune": {**train, "max_samples": 4000},
            "evaluate": {**EVALUATE, "max_samples": 1000, "variants": ["digital", "direct", "hwa"]},
        },
        "digits MLP, 300 cells": {
            "model": mlp, "dataset": "builtin:digits", "rpu_config": preset,
            "evaluate": {**EVALUATE, "repeats": 150},
        },
        "ResNet-20": {
            "model": resnet, "dataset": images, "rpu_config": preset,
            "evaluate": {**EVALUATE, "batch_size": 100},
        },
    }  # fmt: skip


def _export_resnet() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            resnet20().eval(),
            (torch.zeros(1, 3, 32, 32),),
            buffer,
            dynamo=False,
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            input_names=["input"],
            output_names=["output"],
        )
    return buffer.getvalue()


def _estimate(driftline: Driftline, job: dict) -> float:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        seconds = driftline.dry_run(job)["estimated_seconds"]
        if seconds is not None:
            return seconds
        time.sleep(0.5)
    raise SystemExit("no worker has measured its speed")


def _seconds(job: dict) -> float:
    start, end = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (end - start).total_seconds()


if __name__ == "__main__":
    sys.exit(main())

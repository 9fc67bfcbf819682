"""The demonstration: how accurate is a small digit classifier on a phase-change chip, 1 s to 1 year on?

`make demo` runs it: it starts the whole service, uploads `examples/mnist_cnn.onnx`, submits a job, shows its
progress, prints the accuracy over time, leaves the pictures in `demo/`, and says where the job's page is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.settings import Settings
from driftline import Driftline, JobFailed, Results
from driftline.times import in_table
from worker.local import LocalService

HERE = Path(__file__).parent
OUTPUT = Path("demo")

JOB: dict[str, Any] = {
    "name": "Digits on phase-change memory",
    "tags": ["demo"],
    "dataset": "builtin:mnist10k",
    "rpu_config": {
        "preset": "PCMExamplePreset",
        "overrides": {
            # A noisier chip than the preset's, so that there is something to win back.
            "forward": {"w_noise": 0.08, "out_noise": 0.08},
            "modifier": {"type": "AddNormal", "std_dev": 0.1},
        },
    },
    "finetune": {
        "epochs": 5,
        "batch_size": 64,
        "optimizer": {"type": "sgd", "lr": 0.02, "momentum": 0.9},
        "scheduler": {"type": "cosine"},
    },
    "evaluate": {
        "t_inference": [1, 3600, 86400, 2592000, 31536000],
        "repeats": 10,
        "max_samples": 1000,
        "variants": ["digital", "direct", "hwa"],
    },
    "seed": 42,
}


def main() -> int:
    """Run the demonstration; return the process's exit code."""
    console = Console()
    settings = Settings(data_dir=OUTPUT / "service", port=0)
    console.print("Starting API, worker and broker ...")
    with LocalService(settings) as service, Driftline(service.url) as driftline:
        model = driftline.upload_model(HERE / "mnist_cnn.onnx")
        on_tiles = ", ".join(model.analog_layers)
        console.print(f"Uploaded the model: {model.parameters:,} parameters, on tiles: {on_tiles}")
        job = driftline.submit({**JOB, "model": model})
        console.print(f"Watch it at {service.url}/jobs/{job.id}", soft_wrap=True)
        try:
            job.wait()
        except JobFailed as failure:
            console.print(str(failure), style="red", markup=False)
            return 1
        console.print(_table(job.results()))
        for kind in ("svg", "png", "csv"):
            (OUTPUT / f"accuracy.{kind}").write_bytes(job.results_as(kind))
    console.print("Written: demo/accuracy.svg, demo/accuracy.png, demo/accuracy.csv")
    console.print("To see its page, start the service (DRIFTLINE_DATA_DIR=demo/service make run) and open")
    console.print(f"http://{settings.host}:{Settings().port}/jobs/{job.id}", soft_wrap=True)
    return 0


def _table(results: Results) -> Table:
    digital = results.baseline["digital"]
    table = Table(
        title="Test accuracy over time, mean over 10 chips with 95 % interval",
        caption=f"digital: {digital['accuracy']:.1%} of {digital['total']} images",
    )
    table.add_column("variant")
    for time_s in JOB["evaluate"]["t_inference"]:
        table.add_column(in_table(time_s), justify="right")
    for one in results["series"]:
        cells = [
            f"{100 * p['mean']:.1f} % [{100 * p['ci95'][0]:.1f}, {100 * p['ci95'][1]:.1f}]"
            for p in one["points"]
        ]
        table.add_row(one["variant"], *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())

"""The demonstration: how accurate is a small digit classifier on a phase-change chip, 1 s to 1 year on?

`make demo` runs it: it starts the whole service, uploads `examples/mnist_cnn.onnx`, submits a job, shows its
progress, prints the accuracy over time, leaves the pictures in `demo/`, and says where the job's page is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.settings import Settings
from driftline import Driftline
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
TIMES = {1: "1 s", 3600: "1 h", 86400: "1 day", 2592000: "1 month", 31536000: "1 year"}


def main() -> int:
    """Run the demonstration; return the process's exit code."""
    console = Console()
    settings = Settings(data_dir=OUTPUT / "service", port=0)
    console.print("Starting API, worker and broker ...")
    with LocalService(settings) as service, Driftline(service.url) as driftline:
        model = driftline.upload_model(HERE / "mnist_cnn.onnx")
        analog = [layer["name"] for layer in model["layers"] if layer["kind"] == "analog"]
        console.print(
            f"Uploaded the model: {model['parameters']:,} parameters, on tiles: {', '.join(analog)}"
        )
        job = driftline.submit({**JOB, "model": model["id"]})
        console.print(f"Watch it at {service.url}/jobs/{job['id']}", soft_wrap=True)
        job = _watch(console, driftline, job["id"])
        if job["state"] != "succeeded":
            console.print(f"[red]The job {job['state']}: {job['failure']}[/red]")
            return 1
        results = driftline.results(job["id"])
        console.print(_table(results))
        for kind in ("svg", "png", "csv"):
            (OUTPUT / f"accuracy.{kind}").write_bytes(driftline.results_as(job["id"], kind))
    console.print("Written: demo/accuracy.svg, demo/accuracy.png, demo/accuracy.csv")
    console.print("To see its page, start the service (DRIFTLINE_DATA_DIR=demo/service make run) and open")
    console.print(f"http://{settings.host}:{Settings().port}/jobs/{job['id']}", soft_wrap=True)
    return 0


def _watch(console: Console, driftline: Driftline, job_id: str) -> dict[str, Any]:
    """Show the job's progress until it ends."""
    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("queued", total=1.0)
        return driftline.wait(
            job_id,
            on_change=lambda job: progress.update(
                bar, completed=job["progress"]["fraction"], description=job["phase"] or job["state"]
            ),
        )


def _table(results: dict[str, Any]) -> Table:
    digital = results["baseline"]["digital"]
    table = Table(
        title="Test accuracy over time, mean over 10 chips with 95 % interval",
        caption=f"digital: {digital['accuracy']:.1%} of {digital['total']} images",
    )
    table.add_column("variant")
    for label in TIMES.values():
        table.add_column(label, justify="right")
    for one in results["series"]:
        cells = [
            f"{100 * p['mean']:.1f} % [{100 * p['ci95'][0]:.1f}, {100 * p['ci95'][1]:.1f}]"
            for p in one["points"]
        ]
        table.add_row(one["variant"], *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())

"""`driftline submit`: a job from a file, from options, or both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.cli.connection import connect
from driftline.cli.files import read_json, set_all
from driftline.cli.output import AsJson, note, print_json, say, warn
from driftline.cli.watching import follow
from driftline.client import Driftline
from driftline.durations import all_seconds
from driftline.operations.running import DEFAULT_PRESET, DEFAULT_TIMES
from driftline.words import estimate_told


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)


def submit(  # noqa: PLR0917 - typer passes by name
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="A job in JSON; - reads standard input.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="An uploaded model's id, or an ONNX file to upload.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="A dataset's id such as builtin:mnist10k, or a file to upload.", show_default=False
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A named RPU configuration, PCMExamplePreset without a file.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="POINTER=VALUE",
            help="Set a field of the job, such as /rpu_config/overrides/forward/out_noise=0.08; repeatable.",
            show_default=False,
        ),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(help='Times after programming, such as "1 s, 1 h, 1 month".', show_default=False),
    ] = None,
    repeats: Annotated[int | None, typer.Option(help="How many chips.", show_default=False)] = None,
    finetune_epochs: Annotated[
        int | None, typer.Option(help="Epochs of HWA fine-tuning; adds the variant hwa.", show_default=False)
    ] = None,
    max_samples: Annotated[
        int | None, typer.Option(help="Evaluate on the first samples only.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A label to filter by; repeatable.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw.", show_default=False)] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute everything anew.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Wait for the job and show its results.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and estimate only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job and print its id.

    The job comes from a file, from options, or from a file in which options replace fields.

    Example: driftline submit --model m.onnx --data builtin:mnist10k --preset PCMExamplePreset --watch
    """
    fields = {"model": model, "dataset": data, "name": name, "tags": tag, "seed": seed}
    job: dict[str, Any] = {} if file is None else read_json(file)
    if preset is not None:
        job["rpu_config"] = {"preset": preset}
    elif file is None:
        job["rpu_config"] = {"preset": DEFAULT_PRESET}
    job |= {key: value for key, value in fields.items() if value is not None}
    _evaluate(job, times=times, repeats=repeats, max_samples=max_samples)
    if finetune_epochs is not None:
        _finetune(job, finetune_epochs)
    set_all(job, settings or ())
    with connect() as driftline:
        _upload(driftline, job)
        if dry_run:
            estimate = driftline.dry_run(job, fresh=fresh)
            if as_json:
                print_json(estimate)
                return
            warn(estimate.warnings)
            say(f"valid: {estimate_told(estimate)}")
            return
        submitted = driftline.submit(job, fresh=fresh)
        warn(submitted.warnings)
        if watch:
            note(f"job {submitted.id}")
            follow(submitted, as_json=as_json)
            return
    if as_json:
        print_json(submitted)
    else:
        say(submitted.id)


def _evaluate(
    job: dict[str, Any], *, times: str | None, repeats: int | None, max_samples: int | None
) -> None:
    """Put what options say of the evaluation into the job."""
    said = {
        "t_inference": None if times is None else all_seconds(one for one in times.split(",") if one.strip()),
        "repeats": repeats,
        "max_samples": max_samples,
    }
    evaluate = job.setdefault("evaluate", {})
    if isinstance(evaluate, dict):  # what a file says else, the service judges
        evaluate |= {key: value for key, value in said.items() if value is not None}
        evaluate.setdefault("t_inference", all_seconds(DEFAULT_TIMES))


def _finetune(job: dict[str, Any], epochs: int) -> None:
    job["finetune"] = {**(job.get("finetune") or {}), "epochs": epochs}
    if isinstance(job["evaluate"], dict):
        job["evaluate"].setdefault("variants", ["digital", "direct", "hwa"])


def _upload(driftline: Driftline, job: dict[str, Any]) -> None:
    """Upload the model and the dataset if they are files, and name them by their ids."""
    model, data = job.get("model"), job.get("dataset")
    if isinstance(model, str) and Path(model).is_file():
        job["model"] = driftline.upload_model(model).id
    if isinstance(data, str) and Path(data).is_file():
        job["dataset"] = driftline.upload_dataset(data).id

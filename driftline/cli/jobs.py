"""Commands that read jobs: list, watch, results, summary, compare, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.analyses import print_analysis
from driftline.cli.connection import JobArgument, connect, find_job
from driftline.cli.files import format_of
from driftline.cli.output import AsJson, ago, note, print_json, print_table, say
from driftline.cli.watching import follow, print_results
from driftline.errors import InvalidInput
from driftline.operations.results import write_whole
from driftline.times import in_table
from driftline.words import doing, interval_of, number, signed

_SHOWN = ("name", "tags", "state", "phase", "progress", "created_at")
_FORMATS = ("csv", "parquet", "svg", "png", "json")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("jobs")(list_jobs)
    app.command()(watch)
    app.command()(results)
    app.command()(summary)
    app.command()(analyses)
    app.command()(compare)
    app.command()(export)


def list_jobs(
    state: Annotated[
        list[str] | None, typer.Option(help="Only jobs in this state; repeatable.", show_default=False)
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only jobs with this tag; repeatable.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only jobs on the model with this id.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with connect() as driftline:
        fields = None if as_json else _SHOWN
        found = driftline.jobs(state=state, tag=tag, model=model, limit=limit, fields=fields)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            one.id,
            one.name or "",
            doing(one),
            f"{one.progress.fraction:.0%}",
            ", ".join(one.tags),
            ago(one["created_at"]),
        ]
        for one in found
    ]
    columns = ("id", "name", "state", "done", "tags", "submitted")
    print_table(columns, rows, numbers=("done",), empty="no jobs")


def watch(job: JobArgument, as_json: AsJson = False) -> None:
    """Wait for a job and print its answer."""
    with connect() as driftline:
        follow(driftline.job(find_job(driftline, job)), as_json=as_json)


def results(
    job: JobArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=f"Write a file; its ending says which: {', '.join(_FORMATS)}.",
            show_default=False,
        ),
    ] = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="Each chip at each time, in csv, parquet and JSON.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print or write a job's accuracy over time."""
    file_format = format_of(output)
    if file_format is not None and file_format not in _FORMATS:
        raise InvalidInput(f"{output} ends in none of {', '.join(_FORMATS)}")
    with connect() as driftline:
        job_id = find_job(driftline, job)
        if output is not None and file_format is not None:
            write_whole(output, driftline.results_as(job_id, file_format, cells=cells))
            note(f"written: {output}")
            return
        found = driftline.results(job_id, cells=cells and as_json)
    if as_json:
        print_json(found)
    else:
        print_results(found)


def summary(
    job: JobArgument,
    accuracy: Annotated[
        float | None, typer.Option(help="Threshold of the accuracy, 0 to 1.", show_default=False)
    ] = None,
    drop: Annotated[
        float | None, typer.Option(help="Threshold below the digital accuracy (0.01).", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a job's answer in words."""
    with connect() as driftline:
        found = driftline.summary(find_job(driftline, job), accuracy=accuracy, drop=drop)
    if as_json:
        print_json(found)
        return
    say(found.headline)
    for sentence in found.sentences:
        if sentence not in found.headline:
            say(sentence)


def analyses(
    job: JobArgument,
    analysis: Annotated[
        str | None,
        typer.Argument(help="One analysis, such as error_budget; all without.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=f"Write a file of one analysis; its ending says which: {', '.join(_FORMATS)}.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a job's analyses have found by now."""
    file_format = format_of(output)
    if file_format is not None and file_format not in _FORMATS:
        raise InvalidInput(f"{output} ends in none of {', '.join(_FORMATS)}")
    if output is not None and analysis is None:
        raise InvalidInput("a file has one analysis: name it behind the job")
    with connect() as driftline:
        job_id = find_job(driftline, job)
        if output is not None and analysis is not None and file_format is not None:
            write_whole(output, driftline.analysis_as(job_id, analysis, file_format))
            note(f"written: {output}")
            return
        names = [analysis] if analysis else [one.type for one in driftline.analyses(job_id)]
        found = [driftline.analysis(job_id, name) for name in names]
    if as_json:
        print_json(found)
        return
    if not found:
        note("the job was asked for no analysis; extend it with one")
    for one in found:
        print_analysis(one)


def compare(
    jobs: Annotated[
        list[str], typer.Argument(metavar="JOB JOB...", help="Two jobs or more; the first is compared with.")
    ],
    as_json: AsJson = False,
) -> None:
    """Print jobs side by side.

    Each job is compared with the first; below, the fields in which they differ.
    """
    with connect() as driftline:
        found = driftline.compare(*(find_job(driftline, one) for one in jobs))
    if as_json:
        print_json(found)
        return
    names = {one["id"]: one["name"] or one["id"] for one in found.jobs}
    rows = []
    for point in found.points:
        against = {one["job"]: one for one in point["differences"]}
        for job_id, value in point["points"].items():
            difference = against.get(job_id)
            rows.append(
                [
                    point["variant"],
                    in_table(point["t_inference"]),
                    names[job_id],
                    number(value["mean"], found.metric),
                    "" if difference is None else signed(difference["mean"], found.metric),
                    "" if difference is None else interval_of(difference, found.metric),
                ]
            )
    columns = ("variant", "time", "job", found.metric, "against the first", "95 % interval")
    print_table(columns, rows, numbers=columns[3:], empty="no results yet")
    if found.differences:
        say("")
        changed = [
            [one["pointer"], *(json.dumps(one["values"].get(job_id)) for job_id in names)]
            for one in found.differences
        ]
        print_table(("differs in", *names.values()), changed)


def export(
    job: JobArgument,
    folder: Annotated[Path, typer.Argument(help="Where to write; made if missing.")] = Path(),
    everything: Annotated[bool, typer.Option("--all", help="Every file that the job made.")] = False,
) -> None:
    """Write a job's files into a folder.

    That is the fine-tuned network, finetuned.onnx, or with --all everything that the job made.
    """
    with connect() as driftline:
        job_id = find_job(driftline, job)
        made = {one.name for one in driftline.artifacts(job_id)}
        if not everything and "finetuned.onnx" not in made:
            has = f"it has {', '.join(sorted(made))}: use --all" if made else "it has no files"
            raise InvalidInput(f"the job has no finetuned.onnx, since it was not fine-tuned; {has}")
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(made) if everything else ["finetuned.onnx"]:
            say(str(driftline.download(job_id, name, folder / Path(name).name)))

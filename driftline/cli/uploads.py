"""`driftline models` and `driftline data`: what is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.connection import connect
from driftline.cli.output import AsJson, ago, print_json, print_table, say, warn
from driftline.words import place, shape, sizes

Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(help="Upload, list and show models.", no_args_is_help=True, rich_markup_mode=None)
    models.command("add")(add_model)
    models.command("list")(list_models)
    models.command("show")(show_model)
    app.add_typer(models, name="models")
    data = typer.Typer(help="Upload and list datasets.", no_args_is_help=True, rich_markup_mode=None)
    data.command("add")(add_dataset)
    data.command("list")(list_datasets)
    app.add_typer(data, name="data")


def add_model(
    file: Annotated[Path, typer.Argument(help="An ONNX file, or a zip with its external data.")],
    name: Annotated[str | None, typer.Option(help="What to call it; the file's name by default.")] = None,
    outputs: Annotated[
        str | None, typer.Option(help="Names of the outputs to keep, with commas between them.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a model and print its id; the same file again has the same id."""
    with connect() as driftline:
        model = driftline.upload_model(file, name=name, outputs=outputs)
    if as_json:
        print_json(model)
        return
    warn(model["warnings"])
    say(model.id)


def list_models(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the models, newest first."""
    with connect() as driftline:
        models = driftline.models(limit=limit)
    if as_json:
        print_json(models)
        return
    rows = [
        [one.id, one.name, f"{one.parameters:,}", str(len(one.analog_layers)), ago(one["created_at"])]
        for one in models
    ]
    columns = ("id", "name", "parameters", "on tiles", "uploaded")
    print_table(
        columns,
        rows,
        numbers=("parameters", "on tiles"),
        empty="no models; `driftline models add FILE`",
    )


def show_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its id.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a model: its inputs, outputs and layers, and what stays digital and why."""
    with connect() as driftline:
        found = driftline.model(model)
    if as_json:
        print_json(found)
        return
    say(f"{found.name} ({found.id}): {found.parameters:,} parameters")
    say(f"{shape(found.inputs)} to {shape(found.outputs)}; verification {found.verification['state']}")
    rows = [[one.name, one.op, sizes(one.get("weight_shape")), place(one)] for one in found.layers]
    print_table(("layer", "operation", "weights", "computed"), rows)
    warn(found.warnings)


def add_dataset(  # noqa: PLR0917 - typer passes by name
    file: Annotated[Path, typer.Argument(help="An .npz, .safetensors, .parquet or .csv file.")],
    name: Annotated[str | None, typer.Option(help="What to call it; the file's name by default.")] = None,
    test_fraction: Annotated[
        float | None,
        typer.Option(help="Share that is set apart for testing, where the file has no test set."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of that split.")] = None,
    layout: Annotated[str | None, typer.Option(help="nhwc: images whose channels come last.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a dataset and print its id; the same file again has the same id."""
    with connect() as driftline:
        dataset = driftline.upload_dataset(
            file, name=name, test_fraction=test_fraction, seed=seed, layout=layout
        )
    if as_json:
        print_json(dataset)
        return
    warn({"message": warning} for warning in dataset.warnings)
    say(dataset.id)


def list_datasets(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the datasets, uploaded ones first."""
    with connect() as driftline:
        datasets = driftline.datasets(limit=limit)
    if as_json:
        print_json(datasets)
        return
    rows = [
        [
            one.id,
            one.name if one.origin == "upload" else "",
            shape(one.inputs),
            str(one.classes or ""),
            f"{one.train_size:,}",
            f"{one.test_size:,}",
            ago(one["created_at"]),
        ]
        for one in datasets
    ]
    columns = ("id", "name", "inputs", "classes", "train", "test", "uploaded")
    print_table(columns, rows, numbers=("classes", "train", "test"))

"""`driftline cost` and `driftline profiles`: what an inference costs, and by which hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.connection import connect, find_job
from driftline.cli.files import format_of, read_json
from driftline.cli.output import AsJson, note, print_json, print_table, say, warn
from driftline.client import Driftline
from driftline.errors import InvalidInput, UnknownName
from driftline.operations.results import write_whole
from driftline.operations.running import DEFAULT_PRESET
from driftline.quantities import band
from driftline.resources.cost import Cost

_FORMATS = ("csv", "svg", "png", "json")
_FIGURES = (
    ("energy of an inference", "energy_j", "J"),
    ("  of it analog", "analog_j", "J"),
    ("  of it digital", "digital_j", "J"),
    ("latency", "latency_s", "s"),
    ("between inferences", "interval_s", "s"),
    ("area", "area_mm2", "mm²"),
    ("throughput", "tops", "TOPS"),
    ("efficiency", "tops_per_w", "TOPS/W"),
    ("energy times latency", "energy_delay_js", "J s"),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(cost)
    app.command()(profiles)


def cost(  # noqa: PLR0917 - typer passes by name
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="A job, as for other commands.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Instead of a job: an uploaded model's id, or an ONNX file to upload.", show_default=False
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="With --model: a named RPU configuration (PCMExamplePreset).", show_default=False),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="A hardware profile's name, or with --model a file in JSON; a job may have its own.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="With --model: a dataset whose samples say the sizes that the file leaves open.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help=f"Of a job, write a file; its ending says which: {', '.join(_FORMATS)}.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what an inference costs: energy, latency and area, as estimates with a band.

    Example: driftline cost --model m.onnx --profile HERMES14nm
    """
    if (job is None) == (model is None):
        raise InvalidInput("name a job, or a model with --model, and not both")
    file_format = format_of(output)
    if file_format is not None and (file_format not in _FORMATS or job is None):
        raise InvalidInput(f"--output writes the cost of a job, as {', '.join(_FORMATS)}")
    with connect() as driftline:
        if model is not None:
            found = _of_model(driftline, model, preset, profile, dataset)
        else:
            job_id = find_job(driftline, str(job))
            if output is not None and file_format is not None:
                write_whole(output, driftline.job(job_id).cost_as(file_format, profile=profile))
                note(f"written: {output}")
                return
            found = driftline.job(job_id).cost(profile=profile)
    if as_json:
        print_json(found)
    else:
        _show(found)


def profiles(
    name: Annotated[
        str | None, typer.Argument(help="Show this one, every field filled in.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the hardware profiles that ship, or show one."""
    with connect() as driftline:
        found = {one.name: one for one in driftline.hardware_profiles()}
    if name is not None:
        if name not in found:
            raise UnknownName(f"there is no hardware profile {name!r}; there is {', '.join(found)}")
        print_json(found[name] if as_json else found[name].effective)
        return
    if as_json:
        print_json(list(found.values()))
        return
    rows = [
        [
            one.name,
            f"{one.node_nm:g} nm",
            band(one.peak["tops"], "TOPS"),
            band(one.peak["tops_per_w"], "TOPS/W"),
        ]
        for one in found.values()
    ]
    print_table(("name", "node", "at best", "and"), rows)


def _of_model(
    driftline: Driftline, model: str, preset: str | None, profile: str | None, dataset: str | None
) -> Cost:
    if profile is None:
        names = ", ".join(one.name for one in driftline.hardware_profiles())
        raise InvalidInput(f"say by which hardware, with --profile: {names}")
    hardware = read_json(profile) if Path(profile).is_file() else profile
    model_id = driftline.upload_model(model).id if Path(model).is_file() else model
    rpu_config = {"preset": preset or DEFAULT_PRESET}
    found: Cost = driftline.cost(model_id, hardware, rpu_config=rpu_config, dataset=dataset)
    return found


def _show(found: Cost) -> None:
    warn(found.warnings)
    say(f"by {found.profile}; in parentheses, the band of the estimate")
    figures = [[name, band(found[key], unit)] for name, key, unit in _FIGURES if found[key] is not None]
    print_table(("an inference", ""), figures)
    say("")
    ranked = sorted(found.components.items(), key=lambda one: -one[1]["nominal"])
    print_table(
        ("component", "energy"), [[name.replace("_", " "), band(energy, "J")] for name, energy in ranked]
    )
    say("")
    layers = [
        [
            one["name"] + (f" x{one['nodes']}" if one["nodes"] > 1 else ""),
            one["kind"],
            f"{one['tile_operations']:,}" if one["tile_operations"] else "-",
            "-" if one["utilisation"] is None else f"{100 * one['utilisation']:.3g} %",
            band(one["energy_j"], "J"),
            band(one["latency_s"], "s"),
        ]
        for one in found.layers
    ]
    print_table(
        ("layer", "where", "tile operations", "utilisation", "energy", "time"),
        layers,
        numbers=("tile operations", "utilisation"),
    )
    for one in found.assumptions:
        note(f"assumed: {one}")

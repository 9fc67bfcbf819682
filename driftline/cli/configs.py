"""`driftline presets` and `driftline validate`: configurations, and files before they are sent."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.cli.connection import connect
from driftline.cli.files import read_json
from driftline.cli.output import AsJson, print_json, print_table, say, warn
from driftline.words import estimate_told

_OF_A_JOB = frozenset({"model", "dataset", "rpu_config", "evaluate"})


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(presets)
    app.command()(validate)


def presets(
    name: Annotated[
        str | None, typer.Argument(help="Show this one, every field filled in.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the named RPU configurations, or show one."""
    with connect() as driftline:
        if name is not None:
            found = driftline.preset(name)
            print_json(found if as_json else found.effective)
            return
        listed = driftline.presets()
    if as_json:
        print_json(listed)
        return
    print_table(("name", "description"), [[one.name, one.description.partition("\n")[0]] for one in listed])


def validate(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A job or an RPU configuration in JSON; - reads standard input."),
    ],
    as_json: AsJson = False,
) -> None:
    """Check a job or RPU configuration in a file.

    All faults are told at once, and nothing is stored.
    """
    content = read_json(file)
    with connect() as driftline:
        if _OF_A_JOB & content.keys():
            estimate = driftline.dry_run(content)
            if as_json:
                print_json(estimate)
                return
            warn(estimate.warnings)
            say(f"valid: {estimate_told(estimate)}")
            return
        checked = driftline.validate_config(content)
    if as_json:
        print_json(checked)
        return
    warn(checked.warnings)
    say(f"valid: configuration {checked.config_hash}")

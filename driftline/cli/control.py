"""Commands that change jobs: cancel, retry, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from driftline.cli.connection import JobArgument, connect, find_job
from driftline.cli.output import AsJson, note, print_json, say
from driftline.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(cancel)
    app.command()(retry)
    app.command()(delete)


def cancel(job: JobArgument, as_json: AsJson = False) -> None:
    """Cancel a job; the cells that it has stay."""
    with connect() as driftline:
        found = driftline.cancel(find_job(driftline, job))
    if as_json:
        print_json(found)
    else:
        say(found.state)


def retry(job: JobArgument, as_json: AsJson = False) -> None:
    """Submit a failed or cancelled job again.

    The new job takes over what the old one computed; its id is printed.
    """
    with connect() as driftline:
        found = driftline.retry(find_job(driftline, job))
    if as_json:
        print_json(found)
    else:
        say(found.id)


def delete(
    job: JobArgument, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a job, its results and its files."""
    with connect() as driftline:
        found = driftline.job(find_job(driftline, job))
        name = f" {found.name!r}" if found.name else ""
        if not yes and not _agreed(f"Delete the job{name} {found.id} with its results?"):
            raise InvalidInput("nothing was deleted")
        found.delete()
    note(f"deleted {found.id}")


def _agreed(question: str) -> bool:
    """Ask somebody; no answer is no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False

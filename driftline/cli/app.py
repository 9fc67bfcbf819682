"""The commands, and what becomes of an error: one line for people, an exit code for programs."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from driftline.cli import codes, configs, control, cost, jobs, keys, service, submitting, uploads
from driftline.cli.connection import remember
from driftline.cli.output import complain
from driftline.errors import DriftlineError

_EPILOG = (
    f"Exit codes: {codes.OK} done; {codes.JOB_FAILED} a job failed or was cancelled; {codes.REFUSED} wrong "
    f"usage, or the service refused the input; {codes.NOT_FOUND} there is no such thing; {codes.UNREACHABLE} "
    f"the service does not answer; {codes.INTERRUPTED} interrupted with Ctrl-C."
)

app = typer.Typer(
    name="driftline",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"driftline {version('driftline')}")
        raise typer.Exit


@app.callback()
def _common(
    url: Annotated[
        str | None, typer.Option(envvar="DRIFTLINE_URL", help="Where the service is.", show_default=False)
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """How accurate is a trained network on analog in-memory-computing hardware, over time?

    The commands speak to the service at DRIFTLINE_URL (http://127.0.0.1:8000 by default) and send
    DRIFTLINE_API_KEY if it is set, or the key in the file that DRIFTLINE_API_KEY_FILE names.
    `driftline up` starts a service on this machine.
    """
    remember(url)


for _module in (service, uploads, configs, submitting, jobs, cost, control, keys):
    _module.register(app)


def main() -> int:
    """Run a command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows a question mark
            stream.reconfigure(errors="replace")
    try:
        app(standalone_mode=True)
        sys.stdout.flush()
    except SystemExit as end:
        return _flushed(end.code if isinstance(end.code, int) else codes.OK)
    except KeyboardInterrupt:
        return codes.INTERRUPTED
    except BrokenPipeError:
        return _closed_pipe()
    except DriftlineError as error:
        complain(error)
        return codes.of(error)
    except OSError as error:
        complain(error)
        return codes.REFUSED
    return codes.OK


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed_pipe()
    return code


def _closed_pipe() -> int:
    """End quietly: whoever read the output has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return codes.OK

"""Commands on the service of this machine, and `driftline open` for its pages."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.connection import connect, find_job
from driftline.cli.output import AsJson, note, say
from driftline.errors import MissingExtra
from driftline.extras import is_installed

# What the extras `api` and `worker` bring, by the modules that no other extra has.
_NEEDED = ("fastapi", "uvicorn", "celery", "sqlalchemy", "torch", "numba", "onnxruntime")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(doctor)
    app.command()(gc)
    app.command()(secrets)
    app.command("open")(open_page)


def up(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (127.0.0.1).", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port (8000); 0 is any free one.", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of database and files (.driftline).", show_default=False)
    ] = None,
) -> None:
    """Start the service on this machine.

    That is the API, a worker and a broker. Ctrl-C stops them.
    """
    missing = [name for name in _NEEDED if not is_installed(name)]
    if missing:
        raise MissingExtra(
            f"a service on this machine needs {', '.join(missing)}: "
            "pip install 'driftline[api,worker,embedded]'; to use one elsewhere, set DRIFTLINE_URL"
        )
    given = {"DRIFTLINE_HOST": host, "DRIFTLINE_PORT": port, "DRIFTLINE_DATA_DIR": data_dir}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    sys.stdout.flush()
    # The service takes this process's place, so that signals reach it alone.
    os.execv(sys.executable, [sys.executable, "-m", "worker.local"])  # noqa: S606 - no shell is meant


def doctor(as_json: AsJson = False) -> None:
    """Say what is wrong with the deployment whose settings this machine has.

    It looks at settings, storage, broker, database, schema, clocks, workers, queue and API, and changes
    nothing. It ends with 1 if something does not work.
    """
    _on_the_server("app.doctor", *(["--json"] if as_json else []))


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
) -> None:
    """Remove what the deployment's settings keep no longer, and files that nothing names.

    Workers do the same every ten minutes.
    """
    _on_the_server("app.gc", *(["--dry-run"] if dry_run else []))


def secrets(
    new_key: Annotated[bool, typer.Option("--new-key", help="Print a new key for the setting.")] = False,
) -> None:
    """Encrypt the secrets of webhooks in the database with the newest key of DRIFTLINE_ENCRYPTION_KEYS."""
    _on_the_server("app.secrets", *(["--new-key"] if new_key else []))


def _on_the_server(module: str, *arguments: str) -> None:
    """Let a program of the service take this process's place.

    Raises:
        MissingExtra: the service is not installed here.
    """
    if not is_installed("sqlalchemy"):
        raise MissingExtra(
            "this works on the service's own database and files: run it on the service's machine, "
            "or install what it needs: pip install 'driftline[common]'"
        )
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell is meant


def open_page(
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB]", help="The job whose page to open; the list of jobs by default."),
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the address only.")] = False,
) -> None:
    """Open a job's page in the browser."""
    import webbrowser

    with connect() as driftline:
        path = "/" if job is None else f"/jobs/{driftline.job(find_job(driftline, job)).id}"
        url = f"{driftline.base_url}{path}"
    say(url)
    if not print_only and not webbrowser.open(url):
        note("no browser was found; open the address yourself")

"""`driftline whoami` and `driftline keys`: who one is, and the keys of others."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from driftline.cli.connection import connect
from driftline.cli.output import AsJson, ago, note, print_json, print_table, say
from driftline.errors import InvalidInput, MissingExtra
from driftline.extras import is_installed
from driftline.resources.access import Key

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Its id, or its prefix (dl_xxxxxxxx).", show_default=False)
]

_SCOPES: Final = "read,submit"
_NEEDED: Final = ("sqlalchemy", "pydantic_settings", "alembic")  # of the extra `api`
_is_local = False


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(whoami)
    keys = typer.Typer(
        help="Make, list, rotate and withdraw keys; an admin's key, or --local, allows it.",
        no_args_is_help=True,
        rich_markup_mode=None,
        callback=_choose,
    )
    keys.command("add")(add_key)
    keys.command("list")(list_keys)
    keys.command("withdraw")(withdraw_key)
    keys.command("rotate")(rotate_key)
    app.add_typer(keys, name="keys")


def _choose(
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="On the server: work on its database itself (DATABASE_URL, DRIFTLINE_DATA_DIR), with the "
            "service up or down, without a key.",
        ),
    ] = False,
) -> None:
    global _is_local  # noqa: PLW0603 - one process is one command
    _is_local = local


def _on_server(*arguments: str) -> None:
    """Have the service's own program do it: the client knows nothing of the database."""
    missing = [name for name in _NEEDED if not is_installed(name)]
    if missing:
        raise MissingExtra(
            f"--local needs the service on this machine ({', '.join(missing)} is missing): "
            "pip install 'driftline[api]'; elsewhere leave --local out"
        )
    sys.stdout.flush()
    command = [sys.executable, "-m", "app.keys", *arguments]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def whoami(as_json: AsJson = False) -> None:
    """Show whose key this is, its project, and what it allows."""
    with connect() as driftline:
        found = driftline.whoami()
    if as_json:
        print_json(found)
        return
    until = f", until {found.expires_at}" if found.expires_at else ""
    say(f"{found.name}: project {found.project}, may {', '.join(found.scopes)}{until}")


def add_key(
    name: Annotated[str, typer.Argument(help="What the key is for.", show_default=False)],
    project: Annotated[str, typer.Option(help="Whose resources it reaches; made if new.")] = "default",
    scope: Annotated[str, typer.Option(help="Of read, submit and admin, with commas between.")] = _SCOPES,
    expires_in_days: Annotated[
        float | None, typer.Option(help="When it stops being valid; never by default.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    if _is_local:
        days = () if expires_in_days is None else ("--expires-in-days", str(expires_in_days))
        _on_server("add", name, "--project", project, "--scope", scope, *days, *_json(as_json))
    until = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    scopes = [one.strip() for one in scope.split(",") if one.strip()]
    with connect() as driftline:
        _show_new(driftline.add_key(name, project=project, scopes=scopes, expires_at=until), as_json=as_json)


def list_keys(
    project: Annotated[
        str | None, typer.Option(help="Of this project; * is every one.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the keys, newest first, with those that were withdrawn."""
    if _is_local:
        of_project = () if project in (None, "*") else ("--project", str(project))
        _on_server("list", *of_project, *_json(as_json))
    with connect() as driftline:
        keys = driftline.keys(project=project)
    if as_json:
        print_json(keys)
        return
    rows = [
        [
            one.id, one.prefix, one.project, ",".join(one.scopes), _state(one),
            ago(one.last_used_at) if one.last_used_at else "never", one.name,
        ]
        for one in keys
    ]  # fmt: skip
    print_table(("id", "prefix", "project", "scopes", "state", "used", "name"), rows, empty="no keys")


def withdraw_key(key: KeyArgument) -> None:
    """Let a key be valid no more."""
    if _is_local:
        _on_server("withdraw", key)
    with connect() as driftline:
        driftline.withdraw_key(_id_of(driftline.keys(project="*"), key))
    note(f"{key} is withdrawn")


def rotate_key(
    key: KeyArgument,
    grace: Annotated[float, typer.Option(min=0, help="Seconds for which the old one stays valid.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Give a key another secret and print it, this once."""
    if _is_local:
        _on_server("rotate", key, "--grace", str(grace), *_json(as_json))
    with connect() as driftline:
        key_id = _id_of(driftline.keys(project="*"), key)
        _show_new(driftline.rotate_key(key_id, grace_s=grace), as_json=as_json)


def _json(wanted: bool) -> tuple[str, ...]:
    return ("--json",) if wanted else ()


def _state(key: Key) -> str:
    if key.withdrawn_at:
        return "withdrawn"
    return f"until {key.expires_at[:10]}" if key.expires_at else "valid"


def _id_of(keys: list[Key], text: str) -> str:
    found = [one.id for one in keys if text in (one.id, one.prefix)]
    if not found:
        raise InvalidInput(f"there is no key {text!r}; `driftline keys list --project '*'` lists them")
    return found[0]


def _show_new(key: Key, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    note(f"key {key.id} of project {key.project} ({', '.join(key.scopes)}); it is shown this once:")
    say(str(key["key"]))

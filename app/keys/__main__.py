"""Keys on the server itself, with the service up or down: `python -m app.keys add|list|withdraw|rotate`.

It works on the database that the settings name (`DATABASE_URL`, `DRIFTLINE_DATA_DIR`). Whoever can do that
needs no key: so the first key is made here. `driftline keys --local` runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import timedelta

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db.schema import schema_fault
from app.db.session import Database, reason
from app.db.tables import DEFAULT_PROJECT, ApiKey
from app.db.types import utc_now
from app.keys.schemas import KeyCreate, KeyCreated, KeyRotate, KeyView
from app.keys.service import KeyService
from app.kit.problems import Problem
from app.start import load_settings

REFUSED = 2


class _Refused(Exception):  # noqa: N818 - said in one line
    """What was asked for cannot be done."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    asked = _parser().parse_args(arguments)
    database = Database(load_settings().resolved_database_url)
    try:
        _require_schema(database)
        with database.transaction() as session:
            _DO[asked.command](KeyService(session), session, asked)
    except (_Refused, Problem) as error:
        sys.stderr.write(f"{getattr(error, 'detail', error)}\n")
        return REFUSED
    except ValidationError as error:
        sys.stderr.writelines(
            f"{'.'.join(map(str, line['loc']))}: {line['msg']}\n" for line in error.errors(include_url=False)
        )
        return REFUSED
    except SQLAlchemyError as error:
        sys.stderr.write(f"the database does not answer: {reason(error)}\n")
        return REFUSED
    finally:
        database.dispose()
    return 0


def _require_schema(database: Database) -> None:
    fault = schema_fault(database)
    if fault is not None:
        raise _Refused(fault)


def _add(service: KeyService, session: Session, asked: argparse.Namespace) -> None:
    days = asked.expires_in_days
    request = KeyCreate(
        name=asked.name,
        project=asked.project,
        scopes=tuple(scope for text in asked.scope or ("read,submit",) for scope in text.split(",")),
        expires_at=None if days is None else utc_now() + timedelta(days=days),
    )
    key, token = service.add(
        name=request.name, project=request.project, scopes=request.scopes, expires_at=request.expires_at
    )
    session.flush()
    _say_new(KeyCreated.with_token(key, token), as_json=asked.json)


def _list(service: KeyService, session: Session, asked: argparse.Namespace) -> None:
    del session
    views = [KeyView.of(key) for key in service.shown(service.keys.listing(asked.project))]
    if asked.json:
        sys.stdout.write(json.dumps([view.model_dump(mode="json") for view in views], indent=2) + "\n")
        return
    for view in views:
        state = "withdrawn" if view.withdrawn_at else _until(view)
        scopes = ",".join(view.scopes)
        sys.stdout.write(f"{view.id}  {view.prefix}  {view.project}  {scopes}  {state}  {view.name}\n")


def _until(view: KeyView) -> str:
    if view.expires_at is None:
        return "valid"
    return f"{'expired' if view.expires_at <= utc_now() else 'until'} {view.expires_at:%Y-%m-%d}"


def _withdraw(service: KeyService, session: Session, asked: argparse.Namespace) -> None:
    del session
    key_id = _id_of(service, asked.key)
    service.withdraw(key_id)
    sys.stdout.write(f"{key_id} is withdrawn; processes of the API refuse it within 5 s\n")


def _rotate(service: KeyService, session: Session, asked: argparse.Namespace) -> None:
    request = KeyRotate(grace_s=asked.grace)
    key, token = service.rotate(_id_of(service, asked.key), grace_s=request.grace_s)
    session.flush()
    _say_new(KeyCreated.with_token(key, token), as_json=asked.json)


def _id_of(service: KeyService, given: str) -> str:
    """Return the id of a key that is named by its id or by the beginning of its secret."""
    found = service.keys.with_prefix(given)
    key: ApiKey | None = None if found is None else found[1]
    return given if key is None else key.id


def _say_new(view: KeyCreated, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(view.model_dump_json(indent=2) + "\n")
        return
    scopes = ", ".join(view.scopes)
    sys.stderr.write(f"key {view.id} of project {view.project} ({scopes}); it is shown this once:\n")
    sys.stdout.write(f"{view.key}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.keys", description="Keys of the API, on the server.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="make a key and print it, this once")
    add.add_argument("name", help="what it is for")
    add.add_argument("--project", default=DEFAULT_PROJECT, help="made with its first key; %(default)s")
    add.add_argument("--scope", action="append", help="read, submit or admin; by default read and submit")
    add.add_argument("--expires-in-days", type=float)
    listing = commands.add_parser("list", help="list the keys")
    listing.add_argument("--project", help="of this project alone")
    withdraw = commands.add_parser("withdraw", help="let a key be valid no more")
    rotate = commands.add_parser("rotate", help="give a key another secret, and print it, this once")
    rotate.add_argument("--grace", type=float, default=0.0, help="seconds for which the old one stays valid")
    for command in (withdraw, rotate):
        command.add_argument("key", help="its id, or its prefix (dl_xxxxxxxx)")
    for command in (add, listing, rotate):
        command.add_argument("--json", action="store_true")
    return parser


_DO = {"add": _add, "list": _list, "withdraw": _withdraw, "rotate": _rotate}

if __name__ == "__main__":
    sys.exit(main())

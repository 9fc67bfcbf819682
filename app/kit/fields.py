"""Field types that several resources share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import Field, StringConstraints

from app.db.ids import is_id
from app.kit.problems import NotFound, shortened
from app.kit.query import QueryModel

EXAMPLE_ID = "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10"

# Printable, since names end up in terminals, file names of downloads and PostgreSQL (which refuses NUL).
Name = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=200, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"
    ),
]
IdPath = Annotated[str, Path(description="Its id.", examples=[EXAMPLE_ID])]


class NameQuery(QueryModel):
    """The name of an upload."""

    name: Annotated[
        Name | None, Field(description="Name of the upload; the service chooses one when absent.")
    ] = None


def known_id(kind: str, value: str) -> str:
    """Return the id; NotFound when it cannot be an id of this service."""
    if not is_id(value):
        raise not_found(kind, value)
    return value


def not_found(kind: str, value: str) -> NotFound:
    """Return the problem of an unknown id."""
    return NotFound(f"there is no {kind} {shortened(value, 100)!r}")

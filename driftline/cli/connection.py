"""The service that commands speak to, and how they find a job."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from driftline.client import Driftline
from driftline.errors import InvalidInput, UnknownName
from driftline.operations.naming import is_id

JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="Its id, the beginning or end of its id, or its name.", show_default=False
    ),
]

_RETRIES: Final = 2  # somebody waits at the terminal
_SEARCHED: Final = 200
_SHORTEST: Final = 4
_url: str | None = None


def remember(url: str | None) -> None:
    """Speak to this service from now on; None for the one that the environment names."""
    global _url  # noqa: PLW0603 - one process is one command
    _url = url


def connect() -> Driftline:
    """Return a connection to the service."""
    return Driftline(_url, retries=_RETRIES)


def find_job(driftline: Driftline, text: str) -> str:
    """Return the id of the job that a text means: an id, a beginning or end of a recent one, or a name.

    Raises:
        UnknownName: there is none.
        InvalidInput: there are several.
    """
    if is_id(text):
        return text
    named = [
        job["id"] for job in driftline.jobs(q=text, fields=["name"], limit=_SEARCHED) if job["name"] == text
    ]
    found = named or [
        job["id"]
        for job in driftline.jobs(fields=["name"], limit=_SEARCHED)
        if len(text) >= _SHORTEST and (job["id"].startswith(text) or job["id"].endswith(text))
    ]
    if not found:
        raise UnknownName(f"there is no job {text!r}; `driftline jobs` lists them")
    if len(found) > 1:
        raise InvalidInput(f"{text!r} may be {len(found)} jobs; say which: {', '.join(found[:10])}")
    return str(found[0])

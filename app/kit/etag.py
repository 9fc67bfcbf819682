"""Entity tags: a client that holds the newest version gets a short 304 (RFC 9110, 13.1.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Header, Response
from pydantic import BaseModel
from starlette.requests import Request

from app.kit.problems import Fault, PreconditionFailed


def etag_of(value: BaseModel | str) -> str:
    """Return the strong entity tag of a representation."""
    text = value if isinstance(value, str) else value.model_dump_json()
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


GZIPPED = "-gzip"  # at the end of the entity tag of a compressed answer


def _tags(header: str | None) -> list[str]:
    """Return the entity tags in a header; a compressed answer has the tag of what was compressed."""
    return [tag.strip().replace(f'{GZIPPED}"', '"') for tag in (header or "").split(",")]


class Precondition:
    """The request's `If-Match`: a change is made to the version that the client has seen, or not at all."""

    def __init__(self, if_match: str | None) -> None:
        self._given = if_match is not None
        self._tags = _tags(if_match)

    def require(self, etag: Callable[[], str]) -> None:
        """Go on if the client names the resource's entity tag, or names none.

        Raises:
            PreconditionFailed: the resource has another one.
        """
        if not self._given or "*" in self._tags or etag() in self._tags:
            return
        message = "the resource does not, or no longer, have a version that If-Match names"
        fault = Fault(
            pointer="/header/if-match",
            code="precondition_failed",
            message=message,
            hint="GET the resource, look at what has changed, and send the request with the new ETag",
        )
        raise PreconditionFailed(message, errors=[fault])


async def _precondition(
    if_match: Annotated[
        str | None,
        Header(description="Entity tags; the answer is 412 when the resource has none of them any more."),
    ] = None,
) -> Precondition:
    return Precondition(if_match)


PreconditionDep = Annotated[Precondition, Depends(_precondition)]


@dataclass(frozen=True)
class Conditional:
    """The request's `If-None-Match`."""

    if_none_match: str | None

    @cached_property
    def _tags(self) -> list[str]:
        return [tag.removeprefix("W/") for tag in _tags(self.if_none_match)]

    def holds(self, etag: str) -> bool:
        """Return whether the client holds this version already."""
        return etag.removeprefix("W/") in self._tags or "*" in self._tags

    def not_modified(self, etag: str, response: Response) -> Response | None:
        """Return the 304 answer if the client holds this version, else tag the answer to come."""
        response.headers["ETag"] = etag
        return Response(status_code=304, headers=dict(response.headers)) if self.holds(etag) else None


async def _conditional(
    if_none_match: Annotated[
        str | None, Header(description="Entity tags the client holds; a match is answered 304.")
    ] = None,
) -> Conditional:
    return Conditional(if_none_match)


ConditionalDep = Annotated[Conditional, Depends(_conditional)]
_CARRIED = ("etag", "cache-control", "link", "retry-after", "vary")  # by a 304, if the 200 had it


def tagged(request: Request, response: Response) -> Response:
    """Return the answer to a GET with an entity tag of its content if it has none, or a 304 in its place."""
    content = getattr(response, "body", None)  # files and streams have none, and tags of their own
    if request.method != "GET" or response.status_code != 200 or not isinstance(content, bytes):
        return response
    if "etag" in response.headers or "no-store" in response.headers.get("cache-control", ""):
        return response
    response.headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if not Conditional(request.headers.get("if-none-match")).holds(response.headers["ETag"]):
        return response
    headers = {name: response.headers[name] for name in _CARRIED if name in response.headers}
    return Response(status_code=304, headers=headers)


NOT_MODIFIED: dict[int | str, dict[str, str]] = {
    304: {"description": "The client holds this version already."}
}

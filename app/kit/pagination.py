"""Keyset pages: newest first, an opaque cursor, stable while rows come and go."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Response
from pydantic import BaseModel, Field
from starlette.requests import Request

from app.kit.access import CHOSEN_PROJECT, PROJECT_PARAMETER
from app.kit.problems import Fault, InvalidRequest
from app.kit.query import QueryModel

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MOST_INTEGER = 2**63 - 1  # what the database's integers hold
Key = tuple[str | int | float, ...]
ItemT = TypeVar("ItemT")
RowT = TypeVar("RowT")


class Page(BaseModel, Generic[ItemT]):
    """One page of a list."""

    items: list[ItemT] = Field(description="The things on this page of the list.")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page.")


class PageQuery(QueryModel):
    """Which page of a list a client asks for."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Largest number of items on a page.")] = (
        DEFAULT_LIMIT
    )
    cursor: Annotated[
        str | None, Field(max_length=1000, description="`next_cursor` of the previous page.")
    ] = None

    def last_key(self, listing: str, shape: tuple[type, ...]) -> Key | None:
        """Return the key of the last item on the previous page, None for the first page.

        Args:
            listing: name of the list and its order; the cursor of another list is refused.
            shape: the types of the key's parts.

        Raises:
            InvalidRequest: the cursor is not one of this list.
        """
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            name, *key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, TypeError, binascii.Error, RecursionError):
            name, key = None, []
        if name != listing or [type(part) for part in key] != list(shape) or not all(map(_is_ours, key)):
            fault = Fault(
                pointer="/query/cursor",
                code="invalid_cursor",
                message="the cursor is not one of this list",
                hint="send next_cursor unchanged, with the same filters, or start without a cursor",
            )
            raise InvalidRequest("the cursor is not valid", errors=[fault])
        return tuple(key)


def _is_ours(part: Any) -> bool:
    """Return whether a part of a key can be ours: a plain id, or a number that databases hold."""
    if isinstance(part, str):
        return part.isascii() and part.isprintable()
    return isinstance(part, (int, float)) and abs(part) <= MOST_INTEGER


def encode_cursor(listing: str, key: Key) -> str:
    """Return the cursor of the page that follows the item with this key."""
    text = json.dumps([listing, *key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def cut(
    rows: Sequence[RowT], page: PageQuery, *, listing: str, key: Callable[[RowT], Key]
) -> tuple[Sequence[RowT], str | None]:
    """Return the page's rows and the next cursor, from up to `limit + 1` rows after the cursor."""
    if len(rows) <= page.limit:
        return rows, None
    kept = rows[: page.limit]
    return kept, encode_cursor(listing, key(kept[-1]))


def link_next(request: Request, response: Response, next_cursor: str | None) -> None:
    """Name the next page in the answer's `Link` header (RFC 8288), if there is one."""
    if next_cursor is None:
        return
    chosen = {PROJECT_PARAMETER: request.scope[CHOSEN_PROJECT]} if CHOSEN_PROJECT in request.scope else {}
    url = request.url.include_query_params(cursor=next_cursor, **chosen)
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


PAGE_HEADERS: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"Link": {"description": 'The next page, `rel="next"`.', "schema": {"type": "string"}}}}
}

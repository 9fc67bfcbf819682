"""Lists of the service, page after page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from driftline.core.steps import Flow, call_json, get
from driftline.errors import InvalidInput

_LARGEST_PAGE: Final = 200


def listed(path: str, limit: int | None, params: Mapping[str, Any] | None = None) -> Flow[list[Any]]:
    """Return the first items of a list, all of them where the limit is None.

    Raises:
        InvalidInput: the limit is not a positive number.
    """
    if limit is not None and limit < 1:
        raise InvalidInput(f"a limit of {limit} makes no list: it has to be 1 or more, or None for all")
    items: list[Any] = []
    cursor = None
    while True:
        size = _LARGEST_PAGE if limit is None else min(_LARGEST_PAGE, limit - len(items))
        page = yield from call_json(get(path, {**(params or {}), "limit": size, "cursor": cursor}))
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None or (limit is not None and len(items) >= limit):
            return items

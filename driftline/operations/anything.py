"""Whatever else the service answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from driftline.core.steps import Flow, Request, call, get, post
from driftline.errors import InvalidInput


def request(
    method: str, path: str, *, params: Mapping[str, Any] | None = None, json: Any = None
) -> Flow[Any]:
    """Send a request that has no method of its own here, and return the JSON that was answered, if any.

    Args:
        method: GET, POST or DELETE.
        path: such as `/v1/webhooks`.
        params: the query.
        json: the body of a POST, which is sent with an `Idempotency-Key`.

    Raises:
        InvalidInput: the method is another one.
    """
    match method.upper():
        case "GET":
            wanted = get(path, params)
        case "POST":
            wanted = post(path, json, params).once()
        case "DELETE":
            wanted = Request("DELETE", path, params or {})
        case _:
            raise InvalidInput(f"{method} is not among GET, POST and DELETE")
    response = yield from call(wanted)
    return response.json() if response.content else None

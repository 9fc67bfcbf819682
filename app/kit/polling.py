"""When a client that polls asks again."""

from __future__ import annotations

from fastapi import Response

POLL_AGAIN_S = "2"


def retry_later(response: Response, *, ended: bool) -> None:
    """Name the seconds after which to ask again, unless what was asked for has ended and changes no more."""
    if not ended:
        response.headers["Retry-After"] = POLL_AGAIN_S

"""When a client that polls asks again."""

from __future__ import annotations

from fastapi import Response

POLL_AGAIN_S = "2"


def later(*, ended: bool) -> dict[str, str]:
    """Return the header that names the seconds after which to ask again; none when nothing changes any more.

    Args:
        ended: whether what was asked for has ended.
    """
    return {} if ended else {"Retry-After": POLL_AGAIN_S}


def retry_later(response: Response, *, ended: bool) -> None:
    """Name the seconds after which to ask again, unless what was asked for has ended and changes no more."""
    response.headers.update(later(ended=ended))

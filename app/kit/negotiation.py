"""The representation that a client gets: by `?format=`, else by its `Accept` header (RFC 9110)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from starlette.requests import Request

from app.kit.problems import NotAcceptable

FormatT = TypeVar("FormatT", bound=str)


def accept_of(request: Request) -> str | None:
    """Return the request's `Accept`: several lines are one list."""
    return ",".join(request.headers.getlist("accept")) or None


def negotiated(
    request: Request, offered: Mapping[str, FormatT], *, what: str, asked: FormatT | None = None
) -> FormatT:
    """Return the format that a client gets.

    Args:
        request: whose `Accept` decides where nothing was asked for.
        offered: media types in the order of the service's own preference, with their formats.
        what: is represented, as the error names it.
        asked: the format that `?format=` names.

    Raises:
        NotAcceptable: the client accepts none of them.
    """
    chosen = asked or preferred(accept_of(request), offered)
    if chosen is None:
        raise NotAcceptable(f"{what} come as {', '.join(offered)}")
    return chosen


def preferred(accept: str | None, offered: Mapping[str, FormatT]) -> FormatT | None:
    """Return the format that the header prefers, None when it accepts none of them.

    Args:
        accept: the header; None accepts everything.
        offered: media types in the order of the service's own preference, with their formats.
    """
    if not accept:
        return next(iter(offered.values()))
    ranges = [_range(part) for part in accept.split(",")]
    best: tuple[float, FormatT] | None = None
    for media_type, name in offered.items():
        quality = _quality(media_type, ranges)
        if quality > 0 and (best is None or quality > best[0]):
            best = (quality, name)
    return None if best is None else best[1]


def _range(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                quality = 0.0
    return media_range, quality


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that fits the media type."""
    for candidate in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        for media_range, quality in ranges:
            if media_range == candidate:
                return quality
    return 0.0

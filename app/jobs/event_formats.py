"""In which forms events come, as clients ask for it: a list of those so far, or a stream."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Request

from app.kit import sse
from app.kit.negotiation import accept_of, preferred
from app.kit.pagination import PAGE_HEADERS
from app.kit.problems import NotAcceptable


class EventsFormat(StrEnum):
    """How events are told: those so far, or as they come."""

    LIST = "list"
    STREAM = "stream"


EVENTS_MEDIA_TYPES: dict[str, EventsFormat] = {
    "application/json": EventsFormat.LIST,
    sse.MEDIA_TYPE: EventsFormat.STREAM,
}
_A_FRAME = """id: 3
event: epoch.finished
data: {"seq":3,"type":"epoch.finished","data":{"variant":"hwa","epoch":0},"created_at":"2026-01-31T12:00:00Z"}
"""
_TEXT = {"type": "string"}
EVENTS_CONTENT: dict[str, Any] = {
    **PAGE_HEADERS[200],
    "content": {sse.MEDIA_TYPE: {"schema": _TEXT, "example": _A_FRAME}},
}


def _events_format(request: Request) -> EventsFormat:
    chosen = preferred(accept_of(request), EVENTS_MEDIA_TYPES)
    if chosen is None:
        raise NotAcceptable(f"events come as {', '.join(EVENTS_MEDIA_TYPES)}")
    return chosen


EventsFormatDep = Annotated[EventsFormat, Depends(_events_format)]

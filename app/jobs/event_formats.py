"""The forms in which events are sent: a list of those so far, or a stream."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from app.kit import sse
from app.kit.pagination import MOST_INTEGER, PAGE_HEADERS, PageQuery


class EventsFormat(StrEnum):
    """How events are sent: those so far, or as they come."""

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


class EventsQuery(PageQuery):
    """The events of a job that a client asks for."""

    after: Annotated[
        int, Field(ge=0, le=MOST_INTEGER, description="Only events with a larger number than this.")
    ] = 0

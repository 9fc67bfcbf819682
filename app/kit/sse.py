"""Server-sent events (WHATWG HTML, 9.2): frames, and the answer that streams them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi.sse import EventSourceResponse, format_sse_event

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": \n\n"
# Nothing on the way may keep a stream back: neither caches nor buffering proxies (nginx).
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Vary": "Accept"}


def frame(event_type: str, event_id: int, data: str) -> bytes:
    """Return one event; a client that loses the connection names its id in `Last-Event-ID`."""
    return format_sse_event(event=event_type, id=str(event_id), data_str=data)


def retry(delay_ms: int) -> bytes:
    """Return the hint after which time a client that lost the connection reconnects."""
    return format_sse_event(retry=delay_ms)


def comment(text: str) -> bytes:
    """Return a line for people, which clients skip."""
    return f": {text}\n\n".encode()


def respond(frames: AsyncIterator[bytes]) -> EventSourceResponse:
    """Return the answer that sends the frames as they come; a client that goes away cancels them."""
    return EventSourceResponse(frames, headers=_HEADERS)

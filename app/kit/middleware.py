"""The outermost layers: each request has an id, each exception becomes a problem, each answer arrives."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.ids import new_id
from app.kit.problems import InternalError, respond
from app.monitoring.logs import about

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
_ACCEPTED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id_of(request: Request) -> str:
    """Return the request's id."""
    return str(getattr(request.state, "request_id", ""))


class RequestIdMiddleware:
    """Takes the client's `X-Request-Id` or makes one, echoes it, and answers for unexpected exceptions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        answered = False

        async def send_with_id(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with about(request=request_id):
            await self._answer(scope, receive, send_with_id, request_id, lambda: answered)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, answered: Callable[[], bool]
    ) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if answered():
                raise  # too late for another answer; the server ends the connection
            problem = InternalError(f"the service failed; its log has the details under request {request_id}")
            await respond(problem, request_id)(scope, receive, send)


class RootMiddleware:
    """Puts the prefix of a proxy (`root_path`) before the paths in `Location`.

    Endpoints name them, and kept answers have them, without it: where the service is mounted may change.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        root = str(scope.get("root_path") or "").rstrip("/")

        async def send_rooted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                location = headers.get("location", "")
                if location.startswith("/") and not location.startswith("//"):
                    headers["location"] = root + location
            await send(message)

        await self._app(scope, receive, send_rooted if root else send)


class LingerMiddleware:
    """Lets a client that is still sending a refused body see the answer.

    A connection closed with unread data in it is reset, and the reset may destroy the answer before it is
    read. So the rest of the body is read and thrown away after the answer, for a limited time.
    """

    def __init__(self, app: ASGIApp, *, linger_s: float) -> None:
        self._app = app
        self._linger_s = linger_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = ended = closing = False
        expects = any(name == b"expect" for name, _ in scope["headers"])

        async def receive_and_note() -> Message:
            nonlocal begun, ended
            message = await receive()
            begun = begun or bool(message.get("body"))
            ended = ended or not message.get("more_body", False)
            return message

        async def send_and_linger(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start":
                closing = MutableHeaders(scope=message).get("connection") == "close"
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            # A client that waits for "100 Continue" sends nothing more.
            if not (last and closing) or ended or (expects and not begun):
                await send(message)
                return
            await send({**message, "more_body": True})
            with anyio.move_on_after(self._linger_s):
                while not ended:
                    await receive_and_note()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, receive_and_note, send_and_linger)

"""The outermost layer: every request has an id, and no exception leaves without being a problem."""

from __future__ import annotations

import logging
import re

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.ids import new_id
from app.kit.problems import InternalError, respond

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
        request = Request(scope)
        given = request.headers.get(HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else new_id()
        request.state.request_id = request_id
        answered = False

        async def send_with_id(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            if answered:
                raise  # too late for another answer; the server ends the connection
            problem = InternalError(f"the service failed; its log has more under request {request_id}")
            await respond(problem, request_id)(scope, receive, send_with_id)

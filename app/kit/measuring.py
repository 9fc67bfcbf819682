"""Counts requests for the metrics: by method, route and status, and what problems they were answered with."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.problems import PROBLEM_CODE
from app.kit.semantics import HEAD_ASKED
from app.monitoring.metrics import ApiMetrics

# Of a request that led nowhere; its path is the client's to choose, and there are many.
_NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_GONE = 499  # the client did not wait for the answer


class MeasuringMiddleware:
    """Counts each request once it has been answered; it sees the route, so it stands inside `HeadMiddleware`.

    Args:
        app: what answers.
        metrics: where it is counted.
    """

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = _GONE

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = time.perf_counter()
        self._metrics.in_progress.inc()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._metrics.in_progress.dec()
            self._count(scope, status, time.perf_counter() - begun)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = "HEAD" if scope.get(HEAD_ASKED) else scope["method"]
        method = method if method in _METHODS else "other"
        route = getattr(scope.get("route"), "path", None) or _NO_ROUTE
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        code = scope.get(PROBLEM_CODE)
        if code is not None:
            self._metrics.problems.labels(method, route, code).inc()

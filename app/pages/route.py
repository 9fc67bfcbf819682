"""Routes of pages: empty form fields are absent parameters, and faults are answered as pages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from app.kit.routing import StrictRoute

IS_PAGE = "driftline_is_page"


class PageRoute(StrictRoute):
    """A route of a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a strict route, on a query without empty fields."""
        handle = super().get_route_handler()

        async def serve(request: Request) -> Response:
            request.scope[IS_PAGE] = True
            filled = parse_qsl(request.url.query, encoding="utf-8", errors="replace")
            scope = {**request.scope, "query_string": urlencode(filled).encode()}
            return await handle(Request(scope, request.receive))

        return serve

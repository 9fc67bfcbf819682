"""Routes of pages: empty form fields are absent, faults are pages, strangers are asked to sign in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.kit.problems import Unauthorized
from app.kit.routing import StrictRoute

IS_PAGE = "driftline_is_page"


SIGN_IN = "sign-in"


class PageRoute(StrictRoute):
    """A route of a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a strict route, on a query without empty fields."""
        handle = super().get_route_handler()

        async def serve(request: Request) -> Response:
            request.scope[IS_PAGE] = True
            filled = parse_qsl(request.url.query, encoding="utf-8", errors="replace")
            scope = {**request.scope, "query_string": urlencode(filled).encode()}
            try:
                return await handle(Request(scope, request.receive))
            except Unauthorized:
                return RedirectResponse(_sign_in(request), status_code=303)

        return serve


def _sign_in(request: Request) -> str:
    """Return the relative address of the form for a key, which leads back to this page."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    back = path.lstrip("/") + (f"?{request.url.query}" if request.url.query else "")
    return f"{'../' * (path.count('/') - 1) or './'}{SIGN_IN}?{urlencode({'next': back})}"

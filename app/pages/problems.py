"""Problems as pages: where a page was asked for, the answer to a fault is one that people can read."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.kit.negotiation import accept_of, preferred
from app.kit.problems import MEDIA_TYPE
from app.pages.endpoints import router
from app.pages.rendering import path_of, render
from app.pages.route import IS_PAGE

Handler = Callable[[Request, Any], Awaitable[Response]]

_OFFERED: Final = {MEDIA_TYPE: "problem", "application/json": "problem", "text/html": "page"}
_OF_PROGRAMS: Final = ("/v1/", "/healthz/", "/static/", "/openapi.json", "/metrics")
_CARRIED: Final = ("allow", "retry-after")


def install(app: FastAPI) -> None:
    """Have every handler of exceptions answer with a page where a page was asked for."""
    for kind, handler in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _as_page(handler))


def _as_page(handler: Any) -> Handler:
    async def answer(request: Request, error: Any) -> Response:
        told: Response = await handler(request, error)
        if told.media_type != MEDIA_TYPE or not _is_for_people(request):
            return told
        if told.status_code == 404 and (page := _without_slash(request)) is not None:
            return RedirectResponse(page)
        headers = {name: told.headers[name] for name in _CARRIED if name in told.headers}
        problem = json.loads(bytes(told.body))
        model = {"problem": problem}
        return render(
            request, "problem.html", model, service=None, status_code=told.status_code, headers=headers
        )

    return answer


def _without_slash(request: Request) -> str | None:
    """Return the relative address of the page that a path with a slash at its end means; None if none."""
    path = path_of(request)
    is_page = path.endswith("/") and any(
        isinstance(page, APIRoute) and page.path_regex.fullmatch(path[:-1]) for page in router.routes
    )
    return f"../{path[:-1].rpartition('/')[2]}" if is_page else None


def _is_for_people(request: Request) -> bool:
    """Tell whether a person asked: for a page, or with a browser for what is nothing at all."""
    if request.scope.get(IS_PAGE):
        return True
    if request.url.path.startswith(_OF_PROGRAMS):
        return False
    return preferred(accept_of(request), _OFFERED) == "page"

"""Signing in with a key, and out: the browser gets a session's token in a cookie that no script reads."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import Field
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response

from app.keys.gate import COOKIE
from app.keys.service import SESSION_LASTS
from app.kit.access import OPEN
from app.kit.bodies import read_all
from app.kit.query import QueryModel
from app.pages.rendering import render, root_of
from app.pages.route import SIGN_IN, PageRoute
from app.services import ServicesDep

router = APIRouter(include_in_schema=False, route_class=PageRoute, default_response_class=HTMLResponse)

_MOST_BYTES: Final = 8192


class SignInQuery(QueryModel):
    """Where a visitor wanted to go."""

    next: Annotated[
        str, Field(max_length=4000, description="The page below the application's root, to go on to.")
    ] = ""


@router.get(f"/{SIGN_IN}", openapi_extra=OPEN)
async def sign_in_page(request: Request, query: Annotated[SignInQuery, Query()]) -> HTMLResponse:
    """Show the form for a key."""
    return _form(request, query.next, is_wrong=False)


@router.post(f"/{SIGN_IN}", openapi_extra=OPEN)
async def sign_in(request: Request, services: ServicesDep) -> Response:
    """Begin a session with a key, or show the form again."""
    settings = services.settings
    body = await read_all(request, max_bytes=_MOST_BYTES, read_timeout_s=settings.upload_read_timeout_s)
    fields = parse_qs(body.decode("utf-8", "replace"))
    asked = fields.get("next", [""])[0]
    token = await services.access.begin_session(fields.get("key", [""])[0])
    if token is None:
        return _form(request, asked, is_wrong=True)
    answer = RedirectResponse(root_of(request) + _inside(asked), status_code=303)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_LASTS.total_seconds()),
        path=_path(request),
        httponly=True,
        samesite="lax",  # a link from elsewhere opens a page; requests that change something are checked
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/sign-out", openapi_extra=OPEN)
async def sign_out(request: Request, services: ServicesDep) -> Response:
    """End the session, here and in the database."""
    await services.access.end_session(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse(f"{root_of(request)}{SIGN_IN}", status_code=303)
    answer.delete_cookie(COOKIE, path=_path(request), httponly=True, samesite="lax")
    return answer


def _form(request: Request, asked: str, *, is_wrong: bool) -> HTMLResponse:
    model = {"next": asked, "is_wrong": is_wrong}
    status = 401 if is_wrong else 200
    return render(request, "sign_in.html", model, service=None, status_code=status)


def _inside(asked: str) -> str:
    """Return the address if it is one of the service's pages, else that of the first page."""
    is_path = asked and asked.isprintable() and not asked.startswith(("/", "\\", ".", "?"))
    return asked if is_path and ":" not in asked.partition("?")[0] and "\\" not in asked else ""


def _path(connection: HTTPConnection) -> str:
    return str(connection.scope.get("root_path") or "/")

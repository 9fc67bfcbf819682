"""The page of a project's usage, and of keys for admins. Its forms need no script; a secret is shown once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from app.db.types import utc_now
from app.keys import administration
from app.keys.schemas import KeyCreate, KeyCreated
from app.kit.access import Scope, current_caller, needs
from app.kit.bodies import read_all
from app.kit.fields import IdPath
from app.kit.problems import Conflict
from app.kit.transactions import snapshot
from app.pages.queries import ListPageQuery
from app.pages.rendering import Pages, root_of
from app.pages.route import PageRoute
from app.services import Services, ServicesDep
from app.usage.service import usage_of

router = APIRouter(include_in_schema=False, route_class=PageRoute, default_response_class=HTMLResponse)

_PATH: Final = "access"
_ADMIN: Final = needs(Scope.ADMIN)
_MOST_BYTES: Final = 8192
_NO_STORE: Final = {"Cache-Control": "no-store"}
_LONGEST_DAYS: Final = 36500.0
_LABELS: Final = {"name": "Name", "project": "Project", "scopes": "Scopes", "expires_at": "Valid for days"}


@dataclass(frozen=True)
class _Shown:
    """What an answer shows besides the lists.

    Attributes:
        made: a key with its secret.
        faults: what is wrong with the form.
        filled: what the form held.
    """

    made: KeyCreated | None = None
    faults: Sequence[str] = ()
    filled: dict[str, list[str]] | None = None


@router.get(f"/{_PATH}")
def access_page(
    request: Request, services: ServicesDep, query: Annotated[ListPageQuery, Query()]
) -> HTMLResponse:
    """Show what the project uses, and to admins its keys, newest first."""
    return _show(request, services, query, _Shown())


@router.post(f"/{_PATH}/keys", openapi_extra=_ADMIN)
async def make_key(request: Request, services: ServicesDep) -> HTMLResponse:
    """Make a key and show its secret, this once; or show the form again with what is wrong."""
    fields = await _fields(request, services)
    return await run_in_threadpool(_make, request, services, fields)


@router.post(f"/{_PATH}/keys/{{key_id}}/withdraw", openapi_extra=_ADMIN)
def withdraw_key(key_id: IdPath, request: Request, services: ServicesDep) -> Response:
    """Withdraw a key and show the list."""
    administration.withdraw(services, key_id)
    return RedirectResponse(f"{root_of(request)}{_PATH}", status_code=303)


@router.post(f"/{_PATH}/keys/{{key_id}}/rotate", openapi_extra=_ADMIN)
def rotate_key(key_id: IdPath, request: Request, services: ServicesDep) -> HTMLResponse:
    """Give a key another secret and show it, this once; the old one stops at once."""
    try:
        made = administration.rotate(services, key_id, grace_s=0.0)
    except Conflict as refused:
        return _show(request, services, ListPageQuery(), _Shown(faults=[refused.detail]), 409)
    return _show(request, services, ListPageQuery(), _Shown(made=made))


def _make(request: Request, services: Services, fields: dict[str, list[str]]) -> HTMLResponse:
    try:
        wanted = _request_of(fields)
    except ValidationError as error:
        return _show(request, services, ListPageQuery(), _Shown(faults=_said(error), filled=fields), 422)
    return _show(request, services, ListPageQuery(), _Shown(made=administration.make(services, wanted)))


def _request_of(fields: dict[str, list[str]]) -> KeyCreate:
    """Return the key that a form asks for; ValidationError where it asks for none."""
    days = fields.get("days", [""])[0].strip()
    expires_at: Any = None
    if days:
        try:
            expires_at = utc_now() + timedelta(days=min(float(days), _LONGEST_DAYS))
        except ValueError:  # not a number, or nan
            expires_at = days  # the model says that it is no time
    return KeyCreate.model_validate(
        {
            "name": fields.get("name", [""])[0].strip(),
            "project": fields.get("project", [""])[0].strip(),
            "scopes": tuple(fields.get("scope", [])),
            "expires_at": expires_at,
        }
    )


def _said(error: ValidationError) -> list[str]:
    lines = error.errors(include_url=False, include_input=False)
    return [f"{_LABELS.get(str(line['loc'][0]), line['loc'][0])}: {line['msg']}" for line in lines]


async def _fields(request: Request, services: Services) -> dict[str, list[str]]:
    timeout_s = services.settings.upload_read_timeout_s
    body = await read_all(request, max_bytes=_MOST_BYTES, read_timeout_s=timeout_s)
    return parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)


def _show(
    request: Request, services: Services, query: ListPageQuery, shown: _Shown, status_code: int = 200
) -> HTMLResponse:
    caller = current_caller()
    keys, next_cursor = (
        administration.listed(services, None, query) if caller.may(Scope.ADMIN) else (None, None)
    )
    with snapshot(services) as session:
        pages = Pages(request, session, services)
        return pages.show(
            "access.html",
            usage=None if caller.project is None else usage_of(session, services.settings),
            caller=caller,
            keys=keys,
            now=utc_now(),
            next_page=pages.address_with(cursor=next_cursor) if next_cursor else None,
            made=shown.made,
            faults=shown.faults,
            filled=shown.filled or {},
            status_code=status_code,
            headers=_NO_STORE,
        )

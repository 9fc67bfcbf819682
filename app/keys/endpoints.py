"""HTTP of keys."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.openapi.models import Example

from app.keys import administration
from app.keys.schemas import KeyCreate, KeyCreated, KeyRotate, KeyView, Whoami
from app.keys.service import KeyService
from app.kit.access import Scope, current_caller, needs
from app.kit.fields import IdPath, known_id
from app.kit.pagination import PAGE_HEADERS, Page, PageQuery, link_next
from app.kit.problems import Conflict, NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import require_schema
from app.services import ServicesDep

router = APIRouter(prefix="/v1", tags=["access"], route_class=StrictRoute)

_ADMIN: Final = needs(Scope.ADMIN)
_ROTATE: Final[dict[str, Example]] = {
    "grace": {"summary": "The old secret stays valid for an hour", "value": {"grace_s": 3600}}
}
_NO_STORE: Final = {"Cache-Control": "no-store"}


@router.get("/whoami", summary="Who sends the request")
async def get_whoami(response: Response) -> Whoami:
    """Return the name, project and scopes of the key that the request has."""
    response.headers.update(_NO_STORE)
    return Whoami.of(current_caller())


@router.post("/keys", status_code=201, summary="Make a key", openapi_extra=_ADMIN)
def create_key(
    request: Annotated[KeyCreate, Body()], response: Response, services: ServicesDep
) -> KeyCreated:
    """Make a key, and its project if that is new. The answer alone has the secret.

    The database keeps a hash of it. There is no `Idempotency-Key` here, since that would keep the answer.
    """
    view = administration.make(services, request)
    response.headers.update({**_NO_STORE, "Location": f"/v1/keys/{view.id}"})
    return view


@router.get("/keys", summary="List keys", openapi_extra=_ADMIN, responses=PAGE_HEADERS)
def list_keys(
    request: Request, response: Response, services: ServicesDep, page: Annotated[PageQuery, Query()]
) -> Page[KeyView]:
    """List the keys of a project, newest first, with those that were withdrawn; `?project=*`: of all."""
    items, next_cursor = administration.listed(services, current_caller().project, page)
    link_next(request, response, next_cursor)
    return Page(items=items, next_cursor=next_cursor)


@router.get(
    "/keys/{key_id}", summary="Get a key", openapi_extra=_ADMIN, responses=problem_responses(NotFound)
)
def get_key(key_id: IdPath, services: ServicesDep) -> KeyView:
    """Return a key of any project, without its secret."""
    require_schema(services)
    with services.database.all_projects.reading() as session:
        return KeyView.of(KeyService(session).get(known_id("key", key_id)))


@router.delete(
    "/keys/{key_id}",
    status_code=204,
    summary="Withdraw a key",
    openapi_extra=_ADMIN,
    responses=problem_responses(NotFound),
)
def withdraw_key(key_id: IdPath, services: ServicesDep) -> None:
    """Let a key of any project, and sessions that were begun with it, be valid no more.

    Other API processes refuse it within five seconds. It stays in the list as withdrawn.
    """
    administration.withdraw(services, key_id)


@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    summary="Rotate a key",
    openapi_extra=_ADMIN,
    responses=problem_responses(NotFound, Conflict),
)
def rotate_key(
    key_id: IdPath,
    response: Response,
    services: ServicesDep,
    request: Annotated[KeyRotate | None, Body(openapi_examples=_ROTATE)] = None,
) -> KeyCreated:
    """Give a key another secret, which this answer alone has; name, project, scopes and expiry stay.

    The old secret stops at once, or after `grace_s`. Sessions of browsers that it began end.
    """
    view = administration.rotate(services, key_id, grace_s=0.0 if request is None else request.grace_s)
    response.headers.update({**_NO_STORE, "Location": f"/v1/keys/{view.id}"})
    return view

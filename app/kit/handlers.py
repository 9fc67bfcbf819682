"""Exceptions become problems."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.db.blobs import StorageAway
from app.kit.faults import from_request_validation
from app.kit.middleware import request_id_of
from app.kit.problems import (
    Conflict,
    Fault,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    StorageFull,
    Unavailable,
    from_http_exception,
    respond,
    shortened,
)
from app.kit.semantics import HEAD_ASKED, allowed_methods, path_like

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

_RETRY_AFTER_S = "5"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def install(app: FastAPI) -> None:
    """Register the handlers that answer every exception with a problem."""
    handlers: dict[type[Exception], Any] = {
        Problem: _problem,
        RequestValidationError: _validation,
        HTTPException: _http,
        IntegrityError: _overtaken,
        OperationalError: _database,
        InterfaceError: _database,
        NoConnection: _busy,
        StorageAway: _storage_away,
        OSError: _storage,
        ClientDisconnect: _gone,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _problem(request: Request, error: Problem) -> Response:
    return respond(error, request_id_of(request))


async def _validation(request: Request, error: RequestValidationError) -> Response:
    faults = from_request_validation(error.errors(), error.body)
    count = len(faults)
    detail = "the request has a fault" if count == 1 else f"the request has {count} faults"
    return respond(InvalidRequest(detail, errors=faults), request_id_of(request))


async def _http(request: Request, error: HTTPException) -> Response:
    problem = from_http_exception(error)
    path = shortened(request.url.path, 200)
    if isinstance(problem, NotFound):
        problem.detail = f"there is nothing at {path}"
        problem.errors = _neighbours(request)
    elif isinstance(problem, MethodNotAllowed):
        allow = {"Allow": ", ".join(allowed_methods(request))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        method = "HEAD" if request.scope.get(HEAD_ASKED) else request.method
        detail = f"{path} does not allow {method}; it allows {allow['Allow']}"
        problem = MethodNotAllowed(detail, headers=allow)
    return respond(problem, request_id_of(request))


def _neighbours(request: Request) -> list[Fault]:
    """Return the fault that names a similar path, if there is one."""
    meant = path_like(request)
    if meant is None:
        return []
    message = "there is no such path"
    return [Fault(pointer="", code="not_found", message=message, hint=f"did you mean {meant}?")]


async def _database(request: Request, error: OperationalError | InterfaceError) -> Response:
    request_id = request_id_of(request)
    log.error("the database failed: %s", error.orig)
    if "disk is full" in str(error.orig):
        return respond(StorageFull("there is no room left in the database's storage"), request_id)
    detail = "the database does not answer; try again"
    return respond(Unavailable(detail, headers={"Retry-After": _RETRY_AFTER_S}), request_id)


async def _busy(request: Request, error: NoConnection) -> Response:
    request_id = request_id_of(request)
    log.warning("no connection to the database was free: %s", error)
    detail = "the service is too busy to answer; try again"
    return respond(Unavailable(detail, headers={"Retry-After": _RETRY_AFTER_S}), request_id)


async def _overtaken(request: Request, error: IntegrityError) -> Response:
    # Requests check before they write; the database has the last word when two come at once.
    request_id = request_id_of(request)
    log.warning("another request was faster: %s", error.orig)
    return respond(Conflict("another request changed the same thing meanwhile; try again"), request_id)


async def _storage(request: Request, error: OSError) -> Response:
    request_id = request_id_of(request)
    log.error("the storage failed", exc_info=error)
    if error.errno in _FULL:
        return respond(StorageFull("there is no room left in the service's storage"), request_id)
    return respond(
        InternalError(f"the storage failed; the log has the details under request {request_id}"), request_id
    )


async def _storage_away(request: Request, error: StorageAway) -> Response:
    log.error("%s", error)
    detail = "the storage does not answer; try again"
    headers = {"Retry-After": _RETRY_AFTER_S}
    return respond(Unavailable(detail, headers=headers), request_id_of(request))


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    del request, error
    log.info("the client went away while sending")
    return Response(status_code=499)  # nobody reads it

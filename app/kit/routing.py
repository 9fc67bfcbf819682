"""Routes that are strict: JSON bodies are read by `strictjson`, unknown query parameters are errors.

What a GET answers has an entity tag: the endpoint's own, or one of its content.
`APIRouter(route_class=StrictRoute)` is all that a resource needs; body models and OpenAPI stay FastAPI's.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import params
from fastapi._compat import ModelField
from fastapi.dependencies.utils import get_flat_params, get_validation_alias, request_params_to_args
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from app.kit import strictjson
from app.kit.bodies import read_all
from app.kit.etag import tagged
from app.kit.faults import from_request_validation, pointer, unknown_name
from app.kit.problems import (
    Fault,
    InvalidRequest,
    NotFound,
    UnsupportedMediaType,
    more_faults,
    shortened,
)
from app.kit.transactions import application_of
from simulator.config.base import unknown

_READ_AT_ONCE_BYTES = 32 * 1024  # larger bodies are parsed off the event loop
_MOST_STRANGERS = 20  # unknown parameters that are told one by one


class StrictRequest(Request):
    """A request whose body is limited, and whose JSON is read strictly."""

    async def body(self) -> bytes:
        """Return the body; a Problem when it is too large, too slow, or not declared as JSON."""
        if not hasattr(self, "_body"):
            settings = application_of(self).settings
            self._body = await read_all(
                self, max_bytes=settings.max_json_bytes, read_timeout_s=settings.upload_read_timeout_s
            )
            if self._body:
                _require_json(self.headers.get("content-type"))
        return self._body

    async def json(self) -> Any:
        """Return the body's JSON value; InvalidJson names every fault."""
        if not hasattr(self, "_json"):
            body = await self.body()
            if len(body) < _READ_AT_ONCE_BYTES:
                self._json = strictjson.loads(body)
            else:
                self._json = await run_in_threadpool(strictjson.loads, body)
        return self._json


class StrictRoute(APIRoute):
    """A route that refuses unknown query parameters, reads its JSON strictly, and tags what it answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, on a strict request, its answer with an entity tag."""
        handle = super().get_route_handler()
        known = [
            field for field in get_flat_params(self.dependant) if isinstance(field.field_info, params.Query)
        ]

        async def strict(request: Request) -> Response:
            if "\0" in request.url.path:
                raise NotFound("there is nothing at a path with a NUL character")
            _check_query(request, known)
            return tagged(request, await handle(StrictRequest(request.scope, request.receive)))

        return strict


def _check_query(request: Request, known: list[ModelField]) -> None:
    names = [get_validation_alias(field) for field in known]
    faults = [
        Fault(
            pointer=pointer(["query", name]),
            code="nul_character",
            message="the value holds a NUL character",
            hint="leave it out",
        )
        for name, value in request.query_params.multi_items()
        if "\0" in value
    ]
    strangers = [name for name in dict.fromkeys(request.query_params.keys()) if name not in names]
    if not strangers and not faults:
        return
    faults += [
        unknown_name(
            pointer(["query", name]),
            "unknown_parameter",
            unknown("query parameter", shortened(name, 100), names),
        )
        for name in strangers[:_MOST_STRANGERS]
    ]
    faults += more_faults(len(strangers) - _MOST_STRANGERS)
    # The known ones are judged as well, so that all faults of the query are told at once.
    _, errors = request_params_to_args(known, request.query_params)
    faults += from_request_validation(errors, None)
    raise InvalidRequest("the query has faults", errors=faults)


def _require_json(content_type: str | None) -> None:
    if content_type is not None:
        message = Message()
        message["content-type"] = content_type
        charset = str(message.get_param("charset", "utf-8")).lower()
        if message.get_content_type() == "application/json" and charset in ("utf-8", "utf8"):
            return
    said = "no Content-Type" if content_type is None else f"Content-Type {shortened(content_type, 100)!r}"
    fault = Fault(
        pointer="/header/content-type",
        code="unsupported_media_type",
        message=f"the body came with {said}",
        hint="send it as application/json, in UTF-8",
    )
    raise UnsupportedMediaType("the body has to be application/json", errors=[fault])

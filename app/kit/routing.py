"""Routes that are strict: they let in who may, read JSON by `strictjson`, refuse unknown query parameters.

The answer to a GET has an entity tag: the endpoint's own, or one of its content.
`APIRouter(route_class=StrictRoute)` is all that a resource needs; body models and OpenAPI stay FastAPI's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from email.message import Message
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from fastapi import Depends, Query, params
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from app.kit import strictjson
from app.kit.access import LIMIT_FIELDS, admit, declared, scope_in
from app.kit.bodies import read_all
from app.kit.etag import tagged
from app.kit.problems import Fault, NotFound, UnsupportedMediaType, shortened
from app.kit.query import NoParameters, QueryModel
from app.kit.transactions import application_of

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

_READ_AT_ONCE_BYTES = 32 * 1024  # larger bodies are parsed off the event loop


_Plain = Callable[[Request], Awaitable[Response | None]]
_PLAINLY = "driftline_plainly"  # the attribute of an endpoint that has a plain way


def plainly(answer: _Plain) -> Callable[[EndpointT], EndpointT]:
    """Have an endpoint's requests without a query answered in a plain way, where there is one.

    What FastAPI does to find and check an endpoint's arguments takes longer than a poll is worth.

    Args:
        answer: answers as the endpoint would, entity tag included; None leaves the request to the endpoint.
    """

    def with_plain_way(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, _PLAINLY, answer)
        return endpoint

    return with_plain_way


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
    """A route that refuses unknown query parameters, reads JSON strictly, and tags its answers."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        dependencies: Sequence[params.Depends] | None = None,
        **options: Any,
    ) -> None:
        if not _takes_query(endpoint):
            dependencies = [*(dependencies or ()), Depends(_take_no_parameters)]
        options["openapi_extra"] = declared(options.get("openapi_extra"), options.get("methods") or ("GET",))
        super().__init__(path, endpoint, dependencies=dependencies, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, on a strict request that is let in, its answer with an entity tag."""
        handle = super().get_route_handler()
        answer_plainly: _Plain | None = getattr(self.endpoint, _PLAINLY, None)
        wanted = scope_in(self.openapi_extra or {})

        async def strict(request: Request) -> Response:
            if "\0" in request.scope["path"]:
                raise NotFound("there is nothing at a path with a NUL character")
            if wanted is not None:
                request = await admit(request, application_of(request).access, wanted)
            answer = None
            if answer_plainly is not None and not request.scope["query_string"]:
                answer = await answer_plainly(request)
            if answer is None:
                answer = tagged(request, await handle(StrictRequest(request.scope, request.receive)))
            if fields := request.scope.get(LIMIT_FIELDS):
                answer.headers.update(fields)
            return answer

        return strict


def _takes_query(endpoint: Callable[..., Any]) -> bool:
    """Return whether an endpoint has query parameters.

    Raises:
        TypeError: its parameters are not one model, so that unknown ones would not be refused.
    """
    hints = get_type_hints(endpoint, include_extras=True).values()
    annotated = [get_args(hint) for hint in hints if get_args(hint)]
    queries = [kind for kind, *extras in annotated if any(isinstance(one, params.Query) for one in extras)]
    if len(queries) > 1 or not all(isinstance(one, type) and issubclass(one, QueryModel) for one in queries):
        raise TypeError(f"the query of {endpoint.__name__} has to be one QueryModel: {queries}")
    return bool(queries)


async def _take_no_parameters(query: Annotated[NoParameters, Query()]) -> None:
    """Refuse every query parameter."""


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
        message=f"the request has {said}",
        hint="send the body as application/json, in UTF-8",
    )
    raise UnsupportedMediaType("the body has to be application/json", errors=[fault])

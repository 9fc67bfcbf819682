"""What HTTP (RFC 9110, RFC 9112) asks of every resource alike: HEAD, framing, Allow, compressed answers."""

from __future__ import annotations

import re
from functools import lru_cache

import anyio
from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.bodies import CLOSE
from app.kit.etag import GZIPPED
from app.kit.problems import BadRequest, Fault, respond
from simulator.config.base import nearest

HEAD_ASKED = "driftline.head"  # in the scope of a GET that stands for a HEAD
_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})
_SMALLEST = 1000
_LONGEST_PATH = 200
_LEVEL = 5  # half the size of level 1, a third of the time of level 9
_NOT_COMPRESSED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/octet-stream",
    "application/vnd.apache.parquet",
    "application/vnd.safetensors",
)


class HeadMiddleware:
    """Answers HEAD as GET, without the content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        with anyio.CancelScope() as serving:

            async def send_head(message: Message) -> None:
                if message["type"] != "http.response.start":
                    return
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                if Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream"):
                    serving.cancel()  # a stream has no end to wait for

            await self._app({**scope, "method": "GET", HEAD_ASKED: True}, receive, send_head)


class FramingMiddleware:
    """Refuses a body whose length is given in two ways: a proxy in between may have read another request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        names = {name for name, _ in scope["headers"]} if scope["type"] == "http" else set()
        if not names.issuperset(_LENGTHS):
            await self._app(scope, receive, send)
            return
        message = "Content-Length and Transfer-Encoding together leave open where the body ends"
        fault = Fault(
            pointer="/header/content-length",
            code="ambiguous_length",
            message=message,
            hint="send one of the two headers",
        )
        problem = BadRequest(message, code="ambiguous_length", errors=[fault], headers=CLOSE)
        request_id = str(scope.get("state", {}).get("request_id", ""))
        await respond(problem, request_id)(scope, receive, send)


class CompressionMiddleware:
    """Compresses what is worth it, for clients that accept gzip.

    A compressed answer has an entity tag of its own, as RFC 9110 (8.8.3) asks of a strong one.
    Files, pictures and event streams go as they are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(
            app, minimum_size=_SMALLEST, compresslevel=_LEVEL, exclude_content_types=_NOT_COMPRESSED
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                packed_tag = headers.get("etag", "").removesuffix('"') + GZIPPED + '"'
                is_held = message["status"] == 304 and packed_tag in held  # as the answer would have had it
                if "etag" in headers and (is_held or headers.get("content-encoding") == "gzip"):
                    headers["etag"] = packed_tag
            await send(message)

        held = ",".join(_lines(scope, b"if-none-match"))
        asked = _lines(scope, b"accept-encoding")
        takes_gzip = _takes_gzip(",".join(asked))
        if takes_gzip != any("gzip" in line for line in asked[:1]):  # which is all that Starlette looks at
            rest = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            chosen = b"gzip" if takes_gzip else b"identity"
            scope = {**scope, "headers": [*rest, (b"accept-encoding", chosen)]}
        await self._app(scope, receive, send_tagged)


def _lines(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


@lru_cache(maxsize=64)  # clients are of few kinds
def _takes_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip: it names gzip or accepts anything, and does not rule gzip out."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            found = re.fullmatch(r"q\s*=\s*(\d(?:\.\d{0,3})?)", parameter)
            quality = float(found[1]) if found else 0.0
        weights[name] = quality
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def allowed_methods(request: Request) -> list[str]:
    """Return every method that the request's path has, over all of its routes; none for an unknown path."""
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path is not None and _pattern(route.path).fullmatch(request.url.path):
            found |= route.methods or set()
    if "GET" in found:
        found.add("HEAD")
    return sorted(found | {"OPTIONS"}) if found else []


def path_like(request: Request) -> str | None:
    """Return the path that a client probably meant: without a slash at its end, with `/v1`, or misspelt.

    It is one that the OpenAPI document has: pages are for people, who find them by links.
    """
    patterns = [
        route.path
        for route in iter_route_contexts(request.app.routes)
        if route.path is not None and getattr(route, "include_in_schema", True)
    ]
    asked = request.url.path[:_LONGEST_PATH]
    plain = asked.rstrip("/")
    for candidate in (plain, f"/v1{plain}", plain.replace("/api/", "/").replace("/v2/", "/v1/")):
        if candidate != asked and any(_pattern(pattern).fullmatch(candidate) for pattern in patterns):
            return candidate
    collections = [pattern for pattern in patterns if "{" not in pattern]
    meant = nearest(plain, collections)
    return None if meant == asked else meant


@lru_cache(maxsize=1000)
def _pattern(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]

"""What keeps other sites out of a browser's service, and the headers that every answer has.

A name that points to this machine lets any page read the service as its own (DNS rebinding), so `Host` has to
be a name of the service. A page of another site can send requests without reading the answers, so whatever
changes something has to come from a page of the service, or from no page: browsers say where a request comes
from in `Sec-Fetch-Site` and `Origin`, other clients have neither header. A form cannot send JSON, either.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.problems import Fault, Forbidden, Misdirected, Problem, respond, shortened
from app.settings import Settings

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Files and data: nothing in them runs, nothing shows them in a frame, no other site includes them.
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_POLICY: Final = b"content-security-policy"
_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]


class SecurityHeadersMiddleware:
    """Gives each answer the headers that keep browsers careful, unless it has its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                if message["status"] == 304:
                    own.add(_POLICY)  # a browser puts a 304's headers in place of those of the page it holds
                more = [pair for pair in _RAW_HEADERS if pair[0] not in own]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class BoundaryMiddleware:
    """Refuses requests for other names, and changes that pages of other sites ask for.

    Args:
        app: what is behind it.
        settings: name the hosts and origins that are allowed.
        cookie: the cookie by which browsers are known.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, cookie: str) -> None:
        self._app = app
        self._hosts = _names(settings.allowed_hosts)
        self._origins = _names(settings.allowed_origins)
        self._is_local = is_loopback(settings.host)
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        problem = self._fault(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
            return
        request_id = str(scope.get("state", {}).get("request_id", ""))
        await respond(problem, request_id)(scope, receive, send)

    def _fault(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_known(scope, host):
            message = f"the service is not known as {shortened(host, 100)!r}"
            hint = "whoever runs the service names it in DRIFTLINE_ALLOWED_HOSTS"
            fault = Fault(pointer="/header/host", code="unknown_host", message=message, hint=hint)
            return Misdirected(message, code="unknown_host", errors=[fault])
        if scope["method"] in _SAFE or self._is_ours(headers, host):
            return None
        message = "a page of another site sent this request"
        hint = "whoever runs the service allows sites in DRIFTLINE_ALLOWED_ORIGINS"
        fault = Fault(pointer="/header/origin", code="cross_site", message=message, hint=hint)
        return Forbidden(message, code="cross_site", errors=[fault])

    def _is_known(self, scope: Scope, host: str) -> bool:
        if not self._hosts and not (self._is_local and came_to_loopback(scope)):
            return True  # others reach it, so it has keys, and nobody has said its names
        name = _name_of(host)
        return is_loopback(name) or any(
            one in ("*", name) or (one.startswith(".") and name.endswith(one)) for one in self._hosts
        )

    def _is_ours(self, headers: Headers, host: str) -> bool:
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if origin is not None and origin.lower() in self._origins:
            return True
        if site is not None:
            return site in ("same-origin", "none")
        if origin is not None:
            return urlsplit(origin).netloc.lower() == host.lower()
        # Not a browser, or one so old that its session protects nothing.
        return "authorization" in headers or self._cookie not in _cookies(headers)


def allowed_to_other_sites(settings: Settings) -> dict[str, Any]:
    """Return the arguments of Starlette's `CORSMiddleware`: other sites send keys, never cookies."""
    return {
        "allow_origins": sorted(_names(settings.allowed_origins)),
        "allow_methods": ["GET", "HEAD", "POST", "PATCH", "DELETE"],
        "allow_headers": [
            "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID",
            "Prefer", "Range", "X-Request-Id",
        ],
        "expose_headers": [
            "Content-Disposition", "Content-Range", "ETag", "Idempotency-Replayed", "Link", "Location",
            "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id",
        ],
        "max_age": 600,
    }  # fmt: skip


@lru_cache(maxsize=64)  # asked about the same few with each request
def is_loopback(host: str) -> bool:
    """Return whether a name or an address is this machine's own, which no other machine reaches."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback


def is_published(settings: Settings) -> bool:
    """Return whether others reach the service: it listens elsewhere, or has a name elsewhere."""
    hosts = _names(settings.allowed_hosts)
    return not is_loopback(settings.host) or not all(is_loopback(host) for host in hosts)


def came_to_loopback(scope: Any) -> bool:
    """Return whether a request came to an address that only this machine reaches, or to a socket file."""
    server = scope.get("server")
    return _is_own_address(server[0] if server else "")


@lru_cache(maxsize=64)
def _is_own_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return True


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower().rstrip("/") for name in text.split(",") if name.strip())


@lru_cache(maxsize=64)
def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _cookies(headers: Headers) -> SimpleCookie:
    cookies = SimpleCookie()
    try:
        for line in headers.getlist("cookie"):
            cookies.load(line)
    except CookieError:
        return cookies
    return cookies

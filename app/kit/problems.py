"""Errors as `application/problem+json` (RFC 9457): one class per kind, which also writes its OpenAPI.

A service raises a `Problem`; `app.kit.handlers` answers it. The body lists all faults at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 200
PROBLEM_CODE = "driftline.problem"  # where the scope of an answered request says the code
_MAX_TEXT = 1000


class Fault(BaseModel):
    """One thing wrong with a request."""

    model_config = ConfigDict(frozen=True)

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body; `/query/<name>`, `/path/<name>` and"
        " `/header/<name>` for parameters; empty for the request as a whole."
    )
    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="What is wrong, for people.")
    hint: str | None = Field(default=None, description="What to do about it.")


class ProblemDetails(BaseModel):
    """The body of every error (RFC 9457)."""

    type: str = Field(description="URI of the kind of problem.")
    title: str = Field(description="The kind of problem, in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened in this case.")
    code: str = Field(description="Stable, for programs.")
    errors: list[Fault] = Field(description="Every fault that was found.")
    request_id: str = Field(description="The request's `X-Request-Id`, which the logs name.")


class Problem(HTTPException):
    """An error that is reported to the client; subclasses fix status, code and title.

    Args:
        detail: what happened this time, and what to do.
        errors: every fault that was found.
        code: a more specific code than the class's.
        headers: further headers of the answer.
    """

    status: ClassVar[int]
    code: str
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        errors: Iterable[Fault] = (),
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(self.status, detail, dict(headers or {}))
        self.errors = list(errors)
        if code is not None:
            self.code = code


class BadRequest(Problem):
    """The request cannot be understood."""

    status, code, title = 400, "bad_request", "Bad request"


class InvalidJson(BadRequest):
    """The body is not strict JSON."""

    code, title = "invalid_json", "The body is not valid JSON"


class Unauthorized(Problem):
    """The request has no key, or one that the service does not know."""

    status, code, title = 401, "unauthorized", "Not authorised"


class Forbidden(Problem):
    """The key does not allow it, or another site sent the request."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(Problem):
    """The resource does not exist."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(Problem):
    """The path does not allow the method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class NotAcceptable(Problem):
    """The client accepts none of the forms in which the answer could come."""

    status, code, title = 406, "not_acceptable", "Not acceptable"


class UploadTimeout(Problem):
    """The client stopped sending its body."""

    status, code, title = 408, "request_timeout", "The body did not arrive in time"


class Conflict(Problem):
    """The state of the resource forbids it."""

    status, code, title = 409, "conflict", "Conflict"


class Gone(Problem):
    """The result of an earlier request with this key was deleted since."""

    status, code, title = 410, "gone", "Gone"


class PreconditionFailed(Problem):
    """The resource has changed since the version that `If-Match` names."""

    status, code, title = 412, "precondition_failed", "Precondition failed"


class TooLarge(Problem):
    """The body is larger than the limit."""

    status, code, title = 413, "too_large", "The body is too large"


class UnsupportedMediaType(Problem):
    """The service does not accept a body of this kind here."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class RangeNotSatisfiable(Problem):
    """The range that was asked for is not within the file."""

    status, code, title = 416, "range_not_satisfiable", "Range not satisfiable"


class Misdirected(Problem):
    """The service is not known by the name in `Host`."""

    status, code, title = 421, "misdirected", "Misdirected request"


class TooManyRequests(Problem):
    """A limit of the project is reached."""

    status, code, title = 429, "too_many_requests", "A limit is reached"


class InvalidRequest(Problem):
    """The request is understood and wrong."""

    status, code, title = 422, "invalid_request", "The request has faults"


class InternalError(Problem):
    """The service has a fault."""

    status, code, title = 500, "internal", "Internal error"


class Unavailable(Problem):
    """Something that the service needs does not work at the moment."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"


class StorageFull(Problem):
    """The storage of the service is full."""

    status, code, title = 507, "storage_full", "The storage is full"


_BY_STATUS: dict[int, type[Problem]] = {
    kind.status: kind
    for kind in (BadRequest, NotFound, MethodNotAllowed, Conflict, Gone, TooLarge, UnsupportedMediaType)
}


def from_http_exception(error: HTTPException) -> Problem:
    """Return a framework's exception as the problem of the same status."""
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        kind = BadRequest if error.status_code < 500 else InternalError
    problem = kind(str(error.detail), headers=error.headers)
    problem.status_code = error.status_code
    return problem


def type_uri(code: str) -> str:
    """Return the URI of a kind of problem."""
    return f"urn:driftline:problem:{code}"


def respond(problem: Problem, request_id: str) -> Response:
    """Return the answer that reports the problem to the client."""
    faults = problem.errors
    if len(faults) > MAX_FAULTS + 1:  # the one beyond may count the rest already
        faults = faults[:MAX_FAULTS] + more_faults(len(faults) - MAX_FAULTS)
    errors = [fault.model_dump(exclude_none=True) for fault in faults]
    body = {
        "type": type_uri(problem.code),
        "title": problem.title,
        "status": problem.status_code,
        "detail": problem.detail,
        "code": problem.code,
        "errors": errors,
        "request_id": request_id,
    }
    # A lone surrogate that a client managed to send becomes a question mark, never an encoding error.
    content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return _ProblemResponse(content, problem)


class _ProblemResponse(Response):
    """The answer that reports a problem; it leaves the problem's code in the scope."""

    def __init__(self, content: bytes, problem: Problem) -> None:
        super().__init__(content, problem.status_code, problem.headers, media_type=MEDIA_TYPE)
        self._code = problem.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        scope[PROBLEM_CODE] = self._code
        await super().__call__(scope, receive, send)


def more_faults(count: int) -> list[Fault]:
    """Return the fault that counts further faults; none when there are none."""
    message = f"and {count} more faults"
    return [Fault(pointer="", code="more_errors", message=message)] if count > 0 else []


def shortened(text: str, limit: int = _MAX_TEXT) -> str:
    """Return the text, cut where it is longer than an answer should repeat."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def problem_responses(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of an operation that may answer these problems."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        entry = responses.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                        "examples": {},
                    }
                },
            },
        )
        summary = (kind.__doc__ or kind.title).strip().partition("\n")[0]
        entry["content"][MEDIA_TYPE]["examples"][kind.code] = {
            "summary": summary,
            "value": {
                "type": type_uri(kind.code),
                "title": kind.title,
                "status": kind.status,
                "detail": summary,
                "code": kind.code,
                "errors": [],
                "request_id": "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10",
            },
        }
    return responses

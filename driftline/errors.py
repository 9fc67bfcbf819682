"""What can go wrong, as exceptions: a class for each kind of problem that the service answers, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from driftline.words import phase


class DriftlineError(Exception):
    """Base of everything that this package raises on purpose."""


def brief(error: DriftlineError) -> DriftlineError:
    """Return an error without the client's own frames, so that a notebook shows the caller's line."""
    return error.with_traceback(None)


class InvalidInput(DriftlineError, ValueError):
    """An argument is wrong; nothing was sent."""


class UnknownName(DriftlineError, LookupError):
    """Nothing has this name; the message says which names are near, or where they are listed."""


class MissingExtra(DriftlineError, ImportError):
    """A package that this needs is not installed; the message says what to install."""


class ServiceUnreachable(DriftlineError, ConnectionError):
    """The service did not answer, however often it was asked."""


class WaitTimeout(DriftlineError, TimeoutError):
    """The job had not ended when the time was up; it goes on."""


class JobFailed(DriftlineError):
    """A job that was waited for failed or was cancelled.

    Attributes:
        job: the job as it ended.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        super().__init__(_ending(job))
        self.job = job


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request.

    Attributes:
        pointer: JSON pointer into what was sent, or `/query/<name>` and the like; empty for the whole.
        code: stable, for programs.
        message: what is wrong.
        hint: what to do about it.
    """

    pointer: str
    code: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return a fault as the service reports it."""
        hint = told.get("hint")
        return cls(
            str(told.get("pointer", "")),
            str(told.get("code", "")),
            str(told.get("message", "")),
            None if hint is None else str(hint),
        )

    def __str__(self) -> str:
        """Return where it is, what is wrong and what to do, on one line."""
        where = f"{self.pointer}: " if self.pointer else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class ApiError(DriftlineError):
    """The service answered with a problem; subclasses say of which kind.

    Attributes:
        status: the HTTP status.
        problem: the whole `application/problem+json` body.
        code: the problem's code, stable, for programs.
        detail: what happened.
        faults: every fault that the service found.
        request_id: by which the service's log names the request.
        retry_after_s: after how many seconds to ask again, if the service says so.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], *, retry_after_s: float | None = None
    ) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code") or "http_error")
        self.detail = str(problem.get("detail") or problem.get("title") or "no reason was given")
        told = problem.get("errors")
        self.faults = [Fault.of(one) for one in told if isinstance(one, Mapping)] if told else []
        self.request_id = problem.get("request_id")
        self.retry_after_s = retry_after_s
        super().__init__("\n".join([f"{self.detail} ({status} {self.code})", *self._lines()]))

    def _lines(self) -> list[str]:
        """Return a line for each fault; a lone fault that only repeats the detail adds its hint alone."""
        if len(self.faults) == 1 and self.faults[0].message == self.detail:
            hint = self.faults[0].hint
            return [f"  {hint}"] if hint else []
        return [f"  {fault}" for fault in self.faults]


class BadRequest(ApiError):
    """400: the service does not understand the request."""


class Unauthorized(ApiError):
    """401: the key is missing, unknown, expired or withdrawn; set `DRIFTLINE_API_KEY`."""


class Forbidden(ApiError):
    """403: the key has not the scope that this wants; `driftline whoami` shows what it has."""


class NotFound(ApiError):
    """404: there is no such thing."""


class Conflict(ApiError):
    """409: the state of the thing forbids it."""


class Gone(ApiError):
    """410: what an earlier request with this key made was deleted since."""


class PreconditionFailed(ApiError):
    """412: the thing has changed since it was read."""


class TooLarge(ApiError):
    """413: what was sent is larger than the service takes."""


class UnsupportedMediaType(ApiError):
    """415: the service does not take files of this kind."""


class InvalidRequest(ApiError):
    """422: the service understands the request, and it has faults."""


class TooManyRequests(ApiError):
    """429: too many requests; later ones are answered again."""


class ServerError(ApiError):
    """5xx: the fault is the service's."""


class ServiceUnavailable(ServerError):
    """502, 503, 504: something that the service needs does not work at the moment."""


class StorageFull(ServerError):
    """507: the service's disk is full."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    412: PreconditionFailed,
    413: TooLarge,
    415: UnsupportedMediaType,
    422: InvalidRequest,
    429: TooManyRequests,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServiceUnavailable,
    507: StorageFull,
}


def api_error(status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> ApiError:
    """Return the exception of a problem, by its status."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    return kind(status, problem, retry_after_s=retry_after_s)


def _ending(job: Mapping[str, Any]) -> str:
    """Say in words how a job ended that did not succeed."""
    name = f"the job {job['name']!r} ({job['id']})" if job.get("name") else f"the job {job['id']}"
    if job["state"] == "cancelled":
        return f"{name} was cancelled; the cells that it had computed are in its results"
    failure = job.get("failure") or {}
    while_doing = f" while {phase(job)}" if job.get("phase") else ""
    text = f"{name} failed{while_doing}: {failure.get('message', 'no reason was given')}"
    if failure.get("code"):
        text += f" ({failure['code']})"
    return text + ("; a retry may help" if failure.get("retryable") else "")

"""Who asks, and what they may do: each route names the scope that it wants where it is declared.

A route says `openapi_extra=needs(Scope.ADMIN)`, or `openapi_extra=OPEN`; otherwise reading wants `read` and
everything else `submit`. `app.kit.routing` has every request admitted before anything of it is read, and the
database's sessions see the caller's project alone, or nothing where there is no caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection, Request

from app.kit.problems import Fault, Forbidden, NotFound, Problem, Unauthorized, shortened

SCHEME: Final = "key"
OPEN: Final[dict[str, Any]] = {"security": []}
EVERY_PROJECT: Final = "*"
PROJECT_PARAMETER: Final = "project"
CHOSEN_PROJECT: Final = "driftline.project"  # in the scope of a request that names a project
LIMIT_FIELDS: Final = "driftline.limit_fields"  # in the scope of a request that is counted
_ADMISSION: Final = "driftline.admission"  # in the scope of a request that was let in

_CHALLENGE: Final = 'Bearer realm="driftline"'
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(StrEnum):
    """What a key allows."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: of the key, or what stands for it.
        project: whose resources are meant; None is every project's, for reading.
        scopes: what is allowed.
        key_id: of the key; None without one in the database.
        prefix: by which the key is recognised; None without one.
        expires_at: when the key expires, or the browser's session; None is never.
        is_session: whether a browser's session stands for the key.
    """

    name: str
    project: str | None
    scopes: frozenset[Scope]
    key_id: str | None = None
    prefix: str | None = None
    expires_at: datetime | None = None
    is_session: bool = False

    def may(self, scope: Scope) -> bool:
        """Return whether the caller is allowed what wants this scope; admins are allowed everything."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True)
class Admission:
    """As what a request was let in.

    Attributes:
        caller: who asked, before a project was chosen.
        wanted: the scope that the route wants.
        chose_project: whether the request names another project, as admins may.
    """

    caller: Caller
    wanted: Scope
    chose_project: bool


class Access(Protocol):
    """What knows the callers."""

    async def caller_of(self, connection: HTTPConnection) -> Caller | None:
        """Return who sent the request; None is nobody.

        Raises:
            Unauthorized: the request has a key that is not known.
        """

    async def has_project(self, name: str) -> bool:
        """Return whether there is such a project."""

    async def begin_session(self, given: str) -> str | None:
        """Return the token of a new browser's session that a key begins; None where it is not known."""

    async def end_session(self, given: str) -> None:
        """End a browser's session."""

    async def spend(self, caller: Caller) -> dict[str, str]:
        """Count a request of the caller's project; return the header fields that tell how many are left.

        Raises:
            TooManyRequests: there are too many.
        """

    def forget(self) -> None:
        """Ask anew about every key, since one has changed."""


_caller: ContextVar[Caller] = ContextVar("driftline_caller")


def current_caller() -> Caller:
    """Return who asks; LookupError where nobody does."""
    return _caller.get()


def current_project() -> str | None:
    """Return the project whose resources are meant, None for every one; LookupError where nobody asks."""
    return _caller.get().project


def act_as(caller: Caller) -> None:
    """Let the rest of this request, or of this context, be the caller's."""
    _caller.set(caller)


def needs(scope: Scope) -> dict[str, Any]:
    """Return what a route declares (`openapi_extra`) to want this scope."""
    return {"security": [{SCHEME: [scope.value]}]}


def declared(extra: Mapping[str, Any] | None, methods: Collection[str]) -> dict[str, Any]:
    """Return a route's `openapi_extra` with the scope that it wants: its own, or that of its methods."""
    extra = dict(extra or {})
    if "security" not in extra:
        extra |= needs(Scope.READ if _READING.issuperset(methods) else Scope.SUBMIT)
    return extra


def scope_in(extra: Mapping[str, Any]) -> Scope | None:
    """Return the scope that a route wants; None is an open route."""
    return next((Scope(scope) for one in extra["security"] for scope in one[SCHEME]), None)


async def admit(request: Request, access: Access, wanted: Scope) -> Request:
    """Let a request in that may do what it asks for; return it without the parameter `project`.

    Raises:
        Unauthorized: it has no key, or an unknown one.
        Forbidden: its key does not allow it.
        NotFound: there is no project of that name.
    """
    caller = await access.caller_of(request)
    if caller is None:
        raise _no_key()
    request.scope[LIMIT_FIELDS] = await access.spend(caller)
    if not caller.may(wanted):
        raise _insufficient(caller, wanted)
    admission = Admission(caller, wanted, chose_project=False)
    query: bytes = request.scope["query_string"]
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if b"project" in query else []
    named = [value for name, value in pairs if name == PROJECT_PARAMETER]
    if named:
        caller = await _in_project(request, access, caller, named)
        rest = [pair for pair in pairs if pair[0] != PROJECT_PARAMETER]
        changes = {"query_string": urlencode(rest).encode(), CHOSEN_PROJECT: named[0]}
        request = Request({**request.scope, **changes}, request.receive)
        admission = replace(admission, chose_project=named != [admission.caller.project])
    request.scope[_ADMISSION] = admission
    act_as(caller)
    return request


def admission_of(connection: HTTPConnection) -> Admission:
    """Return as what a request was let in; LookupError on an open route."""
    found: Admission = connection.scope[_ADMISSION]
    return found


def refusal(caller: Caller | None, admission: Admission) -> Problem | None:
    """Return why a request that was let in once would be refused now; None if it would be let in.

    Args:
        caller: whose key or session the request has now; None is nobody's.
        admission: as what it was let in.
    """
    if caller is None:
        return _no_key()
    if not caller.may(admission.wanted):
        return _insufficient(caller, admission.wanted)
    if caller.project != admission.caller.project:
        return Forbidden(f"the key is of project {caller.project} now; send the request again")
    if admission.chose_project and Scope.ADMIN not in caller.scopes:
        return _insufficient(caller, Scope.ADMIN)
    return None


def _no_key() -> Unauthorized:
    return unauthorized("the request has no key", "missing_key")


def _insufficient(caller: Caller, wanted: Scope) -> Forbidden:
    has = " and ".join(sorted(caller.scopes)) or "no scope"
    message = f"this wants the scope {wanted}; the key {shortened(caller.name, 100)!r} has {has}"
    fault = Fault(
        pointer="/header/authorization",
        code="insufficient_scope",
        message=message,
        hint="an admin makes keys with other scopes: POST /v1/keys",
    )
    challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{wanted}"'
    headers = {"WWW-Authenticate": challenge}
    return Forbidden(message, code="insufficient_scope", errors=[fault], headers=headers)


async def known_caller(connection: HTTPConnection, access: Access) -> Caller | None:
    """Let an open route know who asks, if that is known; None where it is not."""
    try:
        caller = await access.caller_of(connection)
    except Unauthorized:
        return None
    if caller is not None:
        act_as(caller)
    return caller


async def _in_project(request: Request, access: Access, caller: Caller, named: list[str]) -> Caller:
    name = named[0]
    if named == [caller.project]:
        return caller
    pointer = f"/query/{PROJECT_PARAMETER}"
    if Scope.ADMIN not in caller.scopes:
        message = f"the key is of project {caller.project}; only admins see other projects"
        raise Forbidden(message, errors=[Fault(pointer=pointer, code="forbidden", message=message)])
    if named == [EVERY_PROJECT] and request.method in _READING:
        return replace(caller, project=None)
    if len(named) > 1 or not await access.has_project(name):
        message = f"there is no project {shortened(' and '.join(named), 100)!r}"
        hint = "name one project; * is every one, for reading; a project is made with its first key"
        raise NotFound(message, errors=[Fault(pointer=pointer, code="not_found", message=message, hint=hint)])
    return replace(caller, project=name)


def unauthorized(message: str, code: str) -> Unauthorized:
    """Return the problem of a request without a key, or with one that is not known."""
    fault = Fault(
        pointer="/header/authorization",
        code=code,
        message=message,
        hint="send Authorization: Bearer dl_..., with a key from an admin or from `driftline keys add`",
    )
    error = "" if code == "missing_key" else ', error="invalid_token"'
    return Unauthorized(
        message, code=code, errors=[fault], headers={"WWW-Authenticate": f"{_CHALLENGE}{error}"}
    )

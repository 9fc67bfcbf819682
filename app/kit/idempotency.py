"""`Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header): a repeated request is done once.

An endpoint takes `OnceDep` and does its work through `Once.do`. The answer is stored in the transaction of
the work itself, so there is either both or neither: a request that failed leaves its key unused.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from app.db import idempotency as keys
from app.db.scope import project_of
from app.db.sealing import SealedError, Sealer
from app.db.session import Database
from app.db.tables import IdempotencyKey
from app.db.types import utc_now
from app.kit.problems import BadRequest, Conflict, Fault, Gone, InvalidRequest, Problem
from app.kit.transactions import WriteSession, application_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
LIFETIME = timedelta(hours=24)
MAX_LENGTH = 255

_POINTER = "/header/idempotency-key"
# A string of RFC 8941 in its quotes, or what most clients send: the bare characters.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[!#-~][!-~]*")
_KEPT_HEADERS = ("content-type", "location", "etag", "retry-after")
_RETRY_AFTER_S = "1"

Finder = Callable[[str], object | None]
CheckedT = TypeVar("CheckedT")

_in_flight: set[tuple[str, str | None, str]] = set()
_in_flight_lock = threading.Lock()

# What an endpoint that takes a key may answer besides, for `problem_responses`.
IDEMPOTENCY_PROBLEMS: tuple[type[Problem], ...] = (BadRequest, Conflict, Gone)
# The header of its success, for the OpenAPI document.
REPLAYED_HEADER: dict[str, Any] = {
    REPLAYED: {
        "description": "`true` when the answer is that of an earlier request with this key.",
        "schema": {"type": "string", "const": "true"},
    }
}


@dataclass(frozen=True)
class _Found(Generic[CheckedT]):
    """What a check returned, which may be None."""

    value: CheckedT


class Once:
    """The request's `Idempotency-Key`, and the transaction that its work is done in."""

    def __init__(
        self, session: Session, database: Database, sealer: Sealer, key: str | None, fingerprint: str
    ) -> None:
        self._session = session
        self._database = database
        self._sealer = sealer
        self._key = key
        self._fingerprint = fingerprint

    def do(self, work: Callable[[], Response], *, find: Finder) -> Response:
        """Return the answer of the work, or that of an earlier request with the same key and content.

        Args:
            work: does the request in the transaction of `WriteSession` and returns its answer.
            find: returns what an earlier answer's `Location` ends with, by that id; None when it is gone.

        Raises:
            Conflict: another request with this key is in progress.
            InvalidRequest: the key was used for another request.
            Gone: the result of the earlier request was deleted since, or its answer cannot be read.
        """
        return self.do_checked(lambda: None, lambda _: work(), find=find)

    def do_checked(
        self, check: Callable[[], CheckedT], work: Callable[[CheckedT], Response], *, find: Finder
    ) -> Response:
        """Do as `do`, with a check before the transaction begins, so that no other request waits for it.

        Args:
            check: judges the request, in a session of its own; not called for a repetition.
            work: as for `do`, with what the check found.
            find: as for `do`.
        """
        if self._key is None:
            return work(check())
        with self._alone_here(self._key):
            checked = None if self._is_known(self._key) else _Found(check())
            if not keys.try_lock(self._session, self._key):
                raise _in_progress()
            known = keys.find(self._session, self._key)
            if known is not None:
                return self._replay(known, find)
            answer = work(check() if checked is None else checked.value)
            if answer.status_code < 400:
                self._session.add(self._row(self._key, answer))
                self._session.flush()
            return answer

    @contextmanager
    def _alone_here(self, key: str) -> Iterator[None]:
        """Refuse a second request with the key within this process; the database refuses those elsewhere."""
        name = (str(self._session.get_bind().engine.url), project_of(self._session), key)
        with _in_flight_lock:
            if name in _in_flight:
                raise _in_progress()
            _in_flight.add(name)
        try:
            yield
        finally:
            with _in_flight_lock:
                _in_flight.discard(name)

    def _is_known(self, key: str) -> bool:
        """Return whether an answer is stored under the key, without the write lock."""
        with self._database.reading() as session:
            return keys.is_kept(session, key)

    def _replay(self, known: IdempotencyKey, find: Finder) -> Response:
        if known.fingerprint != self._fingerprint:
            raise _refused(
                InvalidRequest,
                "idempotency_key_reused",
                "the key was used for another request in the last 24 hours",
                hint="make a new key for every new request; repeat a request as it was",
            )
        location = known.headers.get("location")
        if location is not None and find(location.rpartition("/")[2]) is None:
            raise _refused(
                Gone,
                "idempotent_result_deleted",
                f"this request was done before, and its result, {location}, was deleted since",
                hint="send the request with a new key to have it done again",
            )
        try:
            body = self._sealer.open(known.body)
        except SealedError as error:
            raise _refused(
                Gone,
                "idempotent_answer_unreadable",
                f"this request was done before, and its answer cannot be read: {error}",
                hint="get the result at its address; to have it done again, send the request with a new key",
            ) from None
        return Response(body, known.status, {**known.headers, REPLAYED: "true"})

    def _row(self, key: str, answer: Response) -> IdempotencyKey:
        return IdempotencyKey(
            key=key,
            fingerprint=self._fingerprint,
            status=answer.status_code,
            headers={name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers},
            body=self._sealer.seal(bytes(answer.body).decode()),  # it may hold a secret
            expires_at=utc_now() + LIFETIME,
        )


def json_answer(view: BaseModel, status_code: int, headers: dict[str, str]) -> Response:
    """Return a view as the whole answer, which can be stored and sent again byte for byte."""
    return Response(view.model_dump_json(), status_code, headers, media_type="application/json")


async def once(
    request: Request,
    session: WriteSession,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="1 to 255 printable ASCII characters, bare or as a quoted string, new for every new"
            " request. A repetition within 24 hours gets the first answer.",
            examples=['"8e03978e-40d5-43e8-bc93-6894a57f9324"'],
        ),
    ] = None,
) -> Once:
    """Return the request's key with the fingerprint of the request."""
    application = application_of(request)
    if idempotency_key is None:
        return Once(session, application.database, application.settings.sealer, None, "")
    body = await request.json() if await request.body() else None
    content = json.dumps([request.method, request.url.path, request.url.query, body], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    key = _key_of(request.headers.getlist(HEADER))
    return Once(session, application.database, application.settings.sealer, key, fingerprint)


OnceDep = Annotated[Once, Depends(once)]


def _key_of(values: list[str]) -> str:
    """Return the key in the lines of the header."""
    if len(values) > 1:
        raise _invalid("the request has the header more than once")
    text = values[0].strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    elif not _BARE.fullmatch(text):
        raise _invalid("the key is empty or has characters other than printable ASCII")
    if not 1 <= len(text) <= MAX_LENGTH:
        raise _invalid(f"the key has {len(text)} characters; a key has 1 to {MAX_LENGTH}")
    return text


def _invalid(message: str) -> Exception:
    return _refused(
        BadRequest, "invalid_idempotency_key", message, hint="send a new UUID with every new request"
    )


def _in_progress() -> Exception:
    return _refused(
        Conflict,
        "idempotency_key_in_progress",
        "another request with this key is in progress",
        hint="repeat the request in a moment",
        headers={"Retry-After": _RETRY_AFTER_S},
    )


def _refused(
    kind: type[BadRequest | Conflict | Gone | InvalidRequest],
    code: str,
    message: str,
    *,
    hint: str,
    headers: dict[str, str] | None = None,
) -> Exception:
    fault = Fault(pointer=_POINTER, code=code, message=message, hint=hint)
    return kind(message, code=code, errors=[fault], headers=headers)

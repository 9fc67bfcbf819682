"""Who sent a request: the key in its `Authorization`, the session in its cookie, or nobody.

Without any key the service is open, where it listens on loopback alone. As soon as a key was made, or one is
in the settings, nobody gets in without one, and withdrawing the last one opens nothing.

What the database says of a key is kept for a few seconds, so that polls do not ask it each time: a key that
is withdrawn is refused at once by the API process that withdrew it, and within `LOOK_S` by all others.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from app.db.session import Database, reason
from app.db.tables import DEFAULT_PROJECT
from app.db.types import utc_now
from app.keys.repository import KeyRepository
from app.keys.service import KeyService
from app.keys.tokens import Kind, Token, sha256_of
from app.kit.access import Caller, Scope, unauthorized
from app.kit.problems import TooManyRequests
from app.kit.security import came_to_loopback, is_published
from app.settings import Settings
from app.usage.buckets import Buckets
from app.usage.limits import Limits
from app.usage.repository import UsageRepository

log = logging.getLogger(__name__)

COOKIE: Final = "driftline_session"
LOOK_S: Final = 5.0
_USE_NOTED_EVERY: Final = timedelta(minutes=1)
_MOST_KEPT: Final = 10_000
_ALL: Final = frozenset(Scope)
KEYLESS: Final = Caller("no key", DEFAULT_PROJECT, _ALL)
_IN_SETTINGS: Final = Caller("DRIFTLINE_ADMIN_KEY", DEFAULT_PROJECT, _ALL)


@dataclass(frozen=True)
class _Known:
    """What the database says of a secret."""

    sha256: str
    bound_to: str
    caller: Caller
    last_used_at: datetime | None


class Gate:
    """Knows the callers of one API process. Belongs to one event loop.

    Args:
        settings: of the deployment.
        database: with the keys of all projects.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._is_published = is_published(settings)
        self._database = database
        key = settings.admin_key
        self._admin_sha256 = None if key is None else sha256_of(key.get_secret_value())
        self._kept: OrderedDict[str, tuple[float, _Known | None]] = OrderedDict()
        self._limits: dict[str, tuple[float, Limits | None]] = {}
        self._buckets = Buckets(time.monotonic)
        self._has_keys = False
        self._no_keys_until = float("-inf")
        self._uses: set[str] = set()  # ids of keys whose use is being written down

    async def caller_of(self, connection: HTTPConnection) -> Caller | None:
        """Return who sent the request; None is nobody.

        Raises:
            Unauthorized: the request has a key that is not known.
            SQLAlchemyError: the database does not answer.
        """
        scheme, _, given = connection.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() == "bearer" and (given.startswith("dl_") or not await self.is_open(connection)):
            caller = await self._verified(given.strip(), Kind.KEY)
            if caller is None:
                raise unauthorized("the key is not known, has expired, or was withdrawn", "invalid_key")
            return caller
        if COOKIE in connection.cookies:
            caller = await self._verified(connection.cookies[COOKIE], Kind.SESSION)
            if caller is not None:
                return caller
        return KEYLESS if await self.is_open(connection) else None

    async def has_project(self, name: str) -> bool:
        """Return whether there is such a project."""

        def ask() -> bool:
            with self._database.reading() as session:
                return KeyRepository(session).has_project(name)

        return await run_in_threadpool(ask)

    async def is_open(self, connection: HTTPConnection) -> bool:
        """Return whether the service takes requests without a key from where this one came."""
        if self._admin_sha256 is not None or self._is_published or not came_to_loopback(connection.scope):
            return False
        if not self._has_keys and time.monotonic() >= self._no_keys_until:
            self._has_keys = await run_in_threadpool(has_keys, self._database)
            self._no_keys_until = time.monotonic() + LOOK_S
        return not self._has_keys

    async def begin_session(self, given: str) -> str | None:
        """Return the token of a new browser's session that a key begins; None where it is not known."""
        caller = await self._verified(given.strip(), Kind.KEY)
        if caller is None:
            return None
        bound_to = "" if caller.key_id is not None else self._admin_sha256 or ""

        def begin() -> str:
            with self._database.transaction() as session:
                return KeyService(session).begin_session(caller.key_id, caller.expires_at, bound_to).text

        return await run_in_threadpool(begin)

    async def end_session(self, given: str) -> None:
        """End a browser's session."""
        token = Token.read(given)
        if token is None or await self._verified(given, Kind.SESSION) is None:
            return

        def end() -> None:
            with self._database.transaction() as session:
                KeyRepository(session).drop_secret(token.prefix)

        await run_in_threadpool(end)
        self.forget()

    async def spend(self, caller: Caller) -> dict[str, str]:
        """Count a request of the caller's project; return the header fields that tell how many are left.

        Raises:
            TooManyRequests: there are too many.
        """
        if caller.project is None:
            return {}
        rate = (await self._limits_of(caller.project)).requests_a_second
        if rate is None:
            return {}
        draw = self._buckets.draw(caller.project, rate)
        if not draw.is_granted:
            message = f"project {caller.project} sends more than {rate:g} requests a second"
            again = {"Retry-After": str(max(1, math.ceil(draw.wait_s)))}
            raise TooManyRequests(message, headers={**draw.fields(), **again})
        return draw.fields()

    async def _limits_of(self, project: str) -> Limits:
        until, limits = self._limits.get(project, (float("-inf"), None))
        if limits is None or time.monotonic() >= until:
            limits = await run_in_threadpool(self._read_limits, project)
            self._limits[project] = (time.monotonic() + LOOK_S, limits)
        return limits

    def _read_limits(self, project: str) -> Limits:
        with self._database.reading() as session:
            row = UsageRepository(session).project(project)
        return Limits.of(self._settings, None if row is None else row.limits)

    def forget(self) -> None:
        """Ask the database anew about every key and every limit."""
        self._kept.clear()
        self._limits.clear()
        self._no_keys_until = float("-inf")

    async def _verified(self, given: str, kind: Kind) -> Caller | None:
        admin = self._admin_sha256
        if kind is Kind.KEY and admin is not None and hmac.compare_digest(sha256_of(given), admin):
            return _IN_SETTINGS
        token = Token.read(given)
        if token is None or token.kind is not kind:
            return None
        known = await self._look_up(token.prefix)
        if known is None or not hmac.compare_digest(token.sha256(known.bound_to), known.sha256):
            return None
        expires_at = known.caller.expires_at
        return known.caller if expires_at is None or utc_now() < expires_at else None

    async def _look_up(self, prefix: str) -> _Known | None:
        until, known = self._kept.get(prefix, (float("-inf"), None))
        if time.monotonic() < until:
            return known
        known = await run_in_threadpool(self._read, prefix)
        self._kept[prefix] = (time.monotonic() + LOOK_S, known)
        self._kept.move_to_end(prefix)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        if known is not None:
            self._note_use(known)
        return known

    def _read(self, prefix: str) -> _Known | None:
        with self._database.reading() as session:
            found = KeyRepository(session).with_prefix(prefix)
        if found is None:
            return None
        secret, key = found
        if key is None:
            caller, bound_to = _IN_SETTINGS, self._admin_sha256
        elif key.withdrawn_at is not None:
            return None
        else:
            scopes = frozenset(Scope(scope) for scope in key.scopes)
            caller, bound_to = Caller(key.name, key.project, scopes, key.id), ""
        if bound_to is None:  # begun with a key that is no longer in the settings
            return None
        caller = replace(
            caller,
            prefix=secret.prefix,
            expires_at=secret.expires_at,
            is_session=secret.kind == Kind.SESSION,
        )
        return _Known(secret.sha256, bound_to, caller, None if key is None else key.last_used_at)

    def _note_use(self, known: _Known) -> None:
        """Write down that a key was used; no request waits for that."""
        key_id, now = known.caller.key_id, utc_now()
        is_fresh = known.last_used_at is not None and known.last_used_at > now - _USE_NOTED_EVERY
        if key_id is None or is_fresh or key_id in self._uses:
            return
        self._uses.add(key_id)

        def note() -> None:
            try:
                with self._database.transaction() as session:
                    KeyRepository(session).note_use(key_id, at=now, at_most_every=_USE_NOTED_EVERY)
            except SQLAlchemyError as error:  # it is written with the next use
                log.info("the use of a key was not written down: %s", reason(error))
            finally:
                self._uses.discard(key_id)

        asyncio.get_running_loop().run_in_executor(None, note)


def has_keys(database: Database) -> bool:
    """Return whether a key was ever made."""
    with database.all_projects.reading() as session:
        return KeyRepository(session).any()


def why_not_to_start(settings: Settings) -> str | None:
    """Return why a service must not start: others reach it, and it has no key. None if it may."""
    if settings.admin_key is not None or not is_published(settings):
        return None
    database = Database(settings.resolved_database_url)
    try:
        if has_keys(database):
            return None
    except SQLAlchemyError:  # it will refuse everybody, as long as there is no key
        return None
    finally:
        database.dispose()
    return (
        f"others would reach this service (DRIFTLINE_HOST={settings.host}, "
        f"DRIFTLINE_ALLOWED_HOSTS={settings.allowed_hosts!r}), and it has no key: make one with "
        "`driftline keys --local add NAME --scope admin`, or set DRIFTLINE_ADMIN_KEY; or listen on 127.0.0.1"
    )

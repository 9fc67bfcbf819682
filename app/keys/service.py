"""The rules of keys. It never commits: the endpoint's transaction does, or the command's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.orm import Session

from app.db.ids import is_id
from app.db.tables import ApiKey, KeySecret
from app.db.types import utc_now
from app.keys.repository import KeyRepository
from app.keys.tokens import Kind, Token
from app.kit.access import Scope
from app.kit.fields import not_found
from app.kit.problems import Conflict

SESSION_LASTS: Final = timedelta(hours=12)
LONGEST_GRACE_S: Final = 7 * 24 * 3600


@dataclass(frozen=True)
class ShownKey:
    """A key with what may be shown of its secrets: their prefixes, the newest last."""

    row: ApiKey
    secrets: tuple[KeySecret, ...]


class KeyService:
    """Makes, withdraws and rotates keys, and begins sessions of browsers with them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.keys = KeyRepository(session)

    def add(
        self, *, name: str, project: str, scopes: Iterable[Scope], expires_at: datetime | None
    ) -> tuple[ShownKey, Token]:
        """Make a key, and its project if that is new; the token is shown this once."""
        key = ApiKey(
            name=name,
            project=project,
            scopes=sorted({scope.value for scope in scopes}),
            expires_at=expires_at,
        )
        self.keys.add(key)
        token, secret = self._new_secret(key.id, Kind.KEY, expires_at)
        return ShownKey(key, (secret,)), token

    def shown(self, rows: Sequence[ApiKey]) -> list[ShownKey]:
        """Return keys with their prefixes."""
        secrets = self.keys.secrets([row.id for row in rows])
        return [ShownKey(row, tuple(one for one in secrets if one.key_id == row.id)) for row in rows]

    def get(self, key_id: str) -> ShownKey:
        """Return a key; NotFound if there is none."""
        return self.shown([self._found(key_id)])[0]

    def withdraw(self, key_id: str) -> None:
        """Let a key and all that was begun with it be valid no more; NotFound if there is none."""
        key = self._found(key_id)
        key.withdrawn_at = key.withdrawn_at or utc_now()
        self.keys.drop_sessions(key.id)

    def rotate(self, key_id: str, *, grace_s: float) -> tuple[ShownKey, Token]:
        """Give a key another secret; sessions that were begun with it end.

        Args:
            key_id: of the key.
            grace_s: how long the old secret goes on to be valid.

        Raises:
            NotFound: there is no such key.
            Conflict: it was withdrawn.
        """
        key = self._found(key_id)
        if key.withdrawn_at is not None:
            raise Conflict("the key was withdrawn; make another one", code="key_withdrawn")
        until = utc_now() + timedelta(seconds=grace_s)
        for old in self.keys.secrets([key.id]):
            old.expires_at = until if old.expires_at is None else min(until, old.expires_at)
        self.keys.drop_sessions(key.id)
        token, _ = self._new_secret(key.id, Kind.KEY, key.expires_at)
        return self.shown([key])[0], token

    def begin_session(self, key_id: str | None, expires_at: datetime | None, bound_to: str) -> Token:
        """Begin a browser's session with a key; None is the key in the settings."""
        self.keys.drop_expired()
        until = utc_now() + SESSION_LASTS
        until = until if expires_at is None else min(until, expires_at)
        token, _ = self._new_secret(key_id, Kind.SESSION, until, bound_to)
        return token

    def _new_secret(
        self, key_id: str | None, kind: Kind, expires_at: datetime | None, bound_to: str = ""
    ) -> tuple[Token, KeySecret]:
        token = Token.new(kind)
        secret = KeySecret(
            prefix=token.prefix,
            key_id=key_id,
            kind=kind.value,
            sha256=token.sha256(bound_to),
            expires_at=expires_at,
        )
        self.keys.add_secret(secret)
        return token, secret

    def _found(self, key_id: str) -> ApiKey:
        key = self.keys.get(key_id) if is_id(key_id) else None
        if key is None:
            raise not_found("key", key_id)
        return key

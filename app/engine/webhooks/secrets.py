"""The secrets of all webhooks in the database: how many are sealed, and sealing them anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.sealing import SealedError, Sealer, is_sealed
from app.db.tables import Webhook

CLEAR_SECRETS: Final = "whoever reads the database reads the secrets of webhooks: they are not encrypted"


@dataclass(frozen=True)
class SecretCounts:
    """How many secrets of webhooks there are of each kind.

    Attributes:
        clear: readable by whoever reads the database.
        outdated: sealed with a key that is not the newest.
        closed: sealed with a key that is not there.
        newest: sealed with the newest key.
    """

    clear: int = 0
    outdated: int = 0
    closed: int = 0
    newest: int = 0


def count_secrets(session: Session, sealer: Sealer) -> SecretCounts:
    """Count the secrets of all webhooks; the session sees all projects."""
    kinds = [_kind(stored, sealer) for row in session.scalars(select(Webhook)) for stored in _stored(row)]
    return SecretCounts(**{kind: kinds.count(kind) for kind in set(kinds)})


def seal_secrets(session: Session, sealer: Sealer) -> int:
    """Seal with the newest key what is not yet, and can be read; return how many secrets.

    Args:
        session: of a transaction, which sees all projects.
        sealer: with at least one key.
    """
    sealed = 0
    for row in session.scalars(select(Webhook).order_by(Webhook.id).with_for_update()):
        for name in ("secret", "old_secret"):
            stored = getattr(row, name)
            if stored is not None and _kind(stored, sealer) in ("clear", "outdated"):
                setattr(row, name, sealer.seal(sealer.open(stored)))
                sealed += 1
    return sealed


def _stored(row: Webhook) -> list[str]:
    return [row.secret] if row.old_secret is None else [row.secret, row.old_secret]


def _kind(stored: str, sealer: Sealer) -> str:
    if not is_sealed(stored):
        return "clear"
    if sealer.is_newest(stored):
        return "newest"
    try:
        sealer.open(stored)
    except SealedError:
        return "closed"
    return "outdated"

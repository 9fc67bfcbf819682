"""What a client sends as its key: `dl_<prefix>_<secret>`; sessions of browsers have tokens of the same form.

The secret has 256 random bits, so its SHA-256 is all that needs to be stored: nobody can guess it, however
fast. The prefix is no secret. It finds the row, and a person recognises the key by it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

_PREFIX_BYTES: Final = 4
_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"(dls?)_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")


class Kind(StrEnum):
    """What a token stands for."""

    KEY = "key"
    SESSION = "session"


_BEGINNINGS: Final = {Kind.KEY: "dl", Kind.SESSION: "dls"}


@dataclass(frozen=True, repr=False)
class Token:
    """A key or a session, as the client has it.

    Attributes:
        text: all of it.
        kind: which of the two.
        prefix: the part that is no secret, with the beginning.
    """

    text: str
    kind: Kind
    prefix: str

    @classmethod
    def new(cls, kind: Kind) -> Self:
        """Return a new one."""
        prefix = f"{_BEGINNINGS[kind]}_{secrets.token_hex(_PREFIX_BYTES)}"
        return cls(f"{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}", kind, prefix)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the token that a text is; None if it cannot be one."""
        found = _FORM.fullmatch(text)
        if found is None:
            return None
        kind = next(kind for kind, beginning in _BEGINNINGS.items() if beginning == found[1])
        return cls(text, kind, f"{found[1]}_{found[2]}")

    def sha256(self, bound_to: str = "") -> str:
        """Return the hash that is stored.

        Args:
            bound_to: what the token holds with: it is another hash when that changes.
        """
        return sha256_of(self.text + bound_to)


def sha256_of(text: str) -> str:
    """Return the hash of a secret of at least 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()

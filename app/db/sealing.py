"""Secrets that have to be read again, encrypted at rest: with `DRIFTLINE_ENCRYPTION_KEYS`, else as they are.

A sealed text says so, so rows from before the setting are read as they are. The newest key seals, and each
key opens: a new one is put before the old ones, `python -m app.secrets` seals all rows anew, the old ones go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_MARK: Final = "sealed:v1:"


class SealedError(ValueError):
    """A text was sealed with a key that is not there; the message says what to do."""


class Sealer:
    """Seals texts with the newest of some keys, and opens what any of them has sealed.

    Args:
        keys: Fernet keys (32 bytes, in URL-safe base64), the newest first; none: texts stay as they are.

    Raises:
        ValueError: one is no such key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernets = [Fernet(key) for key in keys]
        except ValueError:
            raise ValueError("a key has 32 bytes, written as 44 characters of URL-safe base64") from None

    @property
    def has_keys(self) -> bool:
        """Whether it encrypts."""
        return bool(self._fernets)

    def seal(self, text: str) -> str:
        """Return what is stored for a text."""
        if not self._fernets:
            return text
        return _MARK + self._fernets[0].encrypt(text.encode()).decode()

    def open(self, stored: str) -> str:
        """Return the text for which this was stored.

        Raises:
            SealedError: it is sealed, and no key here has sealed it.
        """
        if not is_sealed(stored):
            return stored
        if not self._fernets:
            raise SealedError("it is encrypted, and DRIFTLINE_ENCRYPTION_KEYS is not set in this process")
        try:
            return MultiFernet(self._fernets).decrypt(stored.removeprefix(_MARK)).decode()
        except InvalidToken:
            raise SealedError("none of the keys in DRIFTLINE_ENCRYPTION_KEYS has encrypted it") from None

    def is_newest(self, stored: str) -> bool:
        """Return whether the newest key has sealed it; without keys, whether it is not sealed."""
        if not self._fernets or not is_sealed(stored):
            return not self._fernets and not is_sealed(stored)
        try:
            self._fernets[0].decrypt(stored.removeprefix(_MARK))
        except InvalidToken:
            return False
        return True


def is_sealed(stored: str) -> bool:
    """Return whether a stored text is encrypted."""
    return stored.startswith(_MARK)


def new_key() -> str:
    """Return a new key."""
    return Fernet.generate_key().decode()

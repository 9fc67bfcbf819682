"""What every storage does, and what they share."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_KEY = re.compile(r"[a-z0-9][a-zA-Z0-9_.-]*(/[a-zA-Z0-9][a-zA-Z0-9_.-]*)*")
_CONTENT = "content"
_NAMED_BY_CONTENT = re.compile(rf"{_CONTENT}/[0-9a-f]{{2}}/(?P<sha256>[0-9a-f]{{64}})")
_BLOCK_BYTES = 1 << 20
# Where blobs lie that rows of the database name; the sweep looks at no others.
PREFIXES = (_CONTENT, "jobs", "models", "datasets")


@dataclass(frozen=True)
class StoredBlob:
    """A blob that is named by its content.

    Attributes:
        key: where it is.
        sha256: of its bytes.
        size_bytes: how many they are.
    """

    key: str
    sha256: str
    size_bytes: int


class BlobMissing(FileNotFoundError):  # noqa: N818 - a fact that the reader has to act on
    """The database names a blob that the storage does not have, as after a restored backup."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the storage has no {key}")
        self.key = key


class BlobDamaged(BlobMissing):
    """A blob's bytes are not those that were stored: whoever can make it again does so."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.args = (f"the storage has other bytes under {key} than were stored there",)


class StorageAway(OSError):  # noqa: N818 - a fact that the reader has to act on
    """The storage does not answer, or refuses."""


class BlobStore(ABC):
    """Blobs by key.

    Args:
        local: a folder of this machine for files on their way, on the storage's own disk where it is one.
    """

    def __init__(self, local: Path) -> None:
        self._incoming = local / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    # --- what each storage does -----------------------------------------------------------------------------

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Return whether there is such a blob."""

    @abstractmethod
    def fetch(self, key: str, *, sha256: str | None = None) -> Path:
        """Return a file of this machine with the blob's bytes, for reading now.

        Args:
            key: of the blob.
            sha256: of its bytes, which are checked where they come over a network.

        Raises:
            BlobMissing: there is none, or its bytes are others.
        """

    @abstractmethod
    def adopt(self, path: Path, key: str) -> None:
        """Make a flushed temporary file the blob of that key."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the blob if it is there."""

    @abstractmethod
    def delete_folder(self, prefix: str) -> None:
        """Remove all blobs under a prefix such as `jobs/<id>`."""

    @abstractmethod
    def renew(self, key: str) -> bool:
        """Let a blob count as young again; return False where there is none."""

    @abstractmethod
    def sizes(self, *, older_than_s: float) -> Iterator[tuple[str, int]]:
        """Iterate over keys and sizes of the blobs that are at least this old."""

    @abstractmethod
    def check_room(self) -> None:
        """Raise OSError unless a blob of some size can be written."""

    @abstractmethod
    def check_writable(self) -> None:
        """Raise OSError unless a small blob can be written, which is what readiness means."""

    @abstractmethod
    def identity(self) -> str | None:
        """Return the name of the installation that the storage belongs to; None when nobody has said."""

    @abstractmethod
    def adopt_identity(self, identity: str) -> None:
        """Say which installation the storage belongs to."""

    # --- what they share ------------------------------------------------------------------------------------

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        """Return the blob's bytes; they are checked where it is known what they should be.

        Raises:
            BlobMissing: there is none, or its bytes are others.
        """
        expected = sha256 or content_of(key)
        try:
            data = self.fetch(key, sha256=sha256).read_bytes()
        except BlobMissing:
            raise
        except FileNotFoundError:
            raise BlobMissing(key) from None
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            raise BlobDamaged(key)
        return data

    def put(self, data: bytes) -> StoredBlob:
        """Store the bytes under their content's name; where they are already, they are found anew."""
        sha256 = hashlib.sha256(data).hexdigest()
        key = f"{_CONTENT}/{sha256[:2]}/{sha256}"
        if not self.renew(key):  # a sweep lets young files alone
            self.write(key, data)
        return StoredBlob(key, sha256, len(data))

    def write(self, key: str, data: bytes) -> str:
        """Store the bytes under the key and return their sha256."""
        with self.incoming() as (file, path):
            file.write(data)
            file.flush()
            self.adopt(path, key)
        return hashlib.sha256(data).hexdigest()

    @contextmanager
    def incoming(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a temporary file of this machine; it is gone afterwards unless it was adopted."""
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file, path
        finally:
            path.unlink(missing_ok=True)

    def keys(self, *, older_than_s: float) -> Iterator[str]:
        """Iterate over the keys of the blobs that are at least this old."""
        return (key for key, _ in self.sizes(older_than_s=older_than_s))

    def drop_abandoned(self, older_than_s: float = 3600.0) -> int:
        """Remove temporary files that a killed process left; return how many."""
        limit = time.time() - older_than_s
        dropped = 0
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    dropped += 1
        return dropped


def checked(key: str) -> str:
    """Return the key.

    Raises:
        ValueError: it is not one that this service makes.
    """
    if not _KEY.fullmatch(key) or ".." in key:
        raise ValueError(f"not a blob key: {key!r}")
    return key


def content_of(key: str) -> str | None:
    """Return the sha256 of a blob that is named by its content; None for others."""
    match = _NAMED_BY_CONTENT.fullmatch(key)
    return None if match is None else match["sha256"]


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()

"""The blob store: files too large for the database, by key, in a folder that all processes share.

A blob appears whole or not at all, and is never changed: it is written beside its place, flushed to disk and
renamed. Keys are made by the service (hashes and ids), never by a client. What jobs make is named by its
content (`put`), so jobs with equal files share one; the table `job_blobs` counts the uses, and a sweep
removes what nothing uses any more (`app.engine.storage`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_KEY = re.compile(r"[a-z0-9][a-zA-Z0-9_.-]*(/[a-zA-Z0-9][a-zA-Z0-9_.-]*)*")


_CONTENT = "content"
_PROBE_BYTES = 1 << 20


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


class BlobStore:
    """Blobs in a local or shared folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Return where the blob lies, or would lie.

        Raises:
            ValueError: the key is not one that this service makes.
        """
        if not _KEY.fullmatch(key) or ".." in key:
            raise ValueError(f"not a blob key: {key!r}")
        return self._folder / key

    def exists(self, key: str) -> bool:
        """Return whether there is such a blob."""
        return self.path(key).is_file()

    def read(self, key: str) -> bytes:
        """Return the blob's bytes.

        Raises:
            BlobMissing: there is none.
        """
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            raise BlobMissing(key) from None

    def put(self, data: bytes) -> StoredBlob:
        """Store the bytes under their content's name; where they are already, they are found anew."""
        sha256 = hashlib.sha256(data).hexdigest()
        key = f"{_CONTENT}/{sha256[:2]}/{sha256}"
        try:
            os.utime(self.path(key))  # a sweep lets young files alone
        except FileNotFoundError:
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
        """Yield a temporary file on the store's own disk; it is gone afterwards unless it was adopted."""
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file, path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path, key: str) -> None:
        """Make a flushed temporary file the blob of that key."""
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def delete(self, key: str) -> None:
        """Remove the blob if it is there."""
        self.path(key).unlink(missing_ok=True)

    def delete_folder(self, prefix: str) -> None:
        """Remove all blobs under a prefix such as `jobs/<id>`."""
        shutil.rmtree(self.path(prefix), ignore_errors=True)

    def keys(self, *, older_than_s: float) -> Iterator[str]:
        """Iterate over the keys of what jobs made, as far as it is at least this old."""
        limit = time.time() - older_than_s
        for prefix in (_CONTENT, "jobs"):
            for path in self.path(prefix).rglob("*"):
                with suppress(FileNotFoundError):
                    if path.is_file() and path.stat().st_mtime < limit:
                        yield path.relative_to(self._folder).as_posix()

    def drop_abandoned(self, older_than_s: float = 3600.0) -> int:
        """Remove temporary files that a killed process left; return how many."""
        limit = time.time() - older_than_s
        dropped = 0
        for path in self._incoming.iterdir():
            if path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                dropped += 1
        return dropped

    def check_writable(self) -> None:
        """Raise OSError unless a small blob can be written, which is what readiness means."""
        with self.incoming() as (file, _):
            file.write(b"ready")
            file.flush()

    def check_room(self) -> None:
        """Raise OSError unless a blob of some size can be written."""
        with self.incoming() as (file, _):
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())

    # --- which database's this storage is -------------------------------------------------------------------

    def identity(self) -> str | None:
        """Return the name of the installation that the storage belongs to; None when nobody has said."""
        try:
            return self._identity_path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None

    def adopt_identity(self, identity: str) -> None:
        """Say which installation the storage belongs to."""
        with self.incoming() as (file, path):
            file.write(identity.encode("ascii"))
            file.flush()
            path.replace(self._identity_path)

    @property
    def _identity_path(self) -> Path:
        return self._folder / "installation"

"""The blob store: files too large for the database, by key, in a folder that all processes share.

A blob appears whole or not at all, and is never changed: it is written beside its place, flushed to disk and
renamed. Keys are made by the service (hashes and ids), never by a client.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_KEY = re.compile(r"[a-z0-9][a-zA-Z0-9_.-]*(/[a-zA-Z0-9][a-zA-Z0-9_.-]*)*")


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
        """Tell whether there is such a blob."""
        return self.path(key).is_file()

    def read(self, key: str) -> bytes:
        """Return the blob's bytes; FileNotFoundError if there is none."""
        return self.path(key).read_bytes()

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

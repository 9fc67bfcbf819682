"""Blobs in a folder, of one machine or shared by all.

A blob is written beside its place, flushed to disk and renamed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from app.db.blobs.base import PREFIXES, BlobStore, checked

_PROBE_BYTES = 1 << 20


class FolderBlobs(BlobStore):
    """Blobs in a local or shared folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    def path(self, key: str) -> Path:
        """Return where the blob lies, or would lie.

        Raises:
            ValueError: the key is not one that this service makes.
        """
        return self._folder / checked(key)

    def exists(self, key: str) -> bool:
        """Return whether there is such a blob."""
        return self.path(key).is_file()

    def fetch(self, key: str, *, sha256: str | None = None) -> Path:
        """Return where the blob lies, if it is there; the disk answers for its bytes."""
        del sha256
        return self.path(key)

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

    def renew(self, key: str) -> bool:
        """Let a blob count as young again; return False where there is none."""
        try:
            os.utime(self.path(key))
        except FileNotFoundError:
            return False
        return True

    def sizes(self, *, older_than_s: float) -> Iterator[tuple[str, int]]:
        """Iterate over keys and sizes of the blobs that are at least this old."""
        limit = time.time() - older_than_s
        for prefix in PREFIXES:
            for path in self.path(prefix).rglob("*"):
                with suppress(FileNotFoundError):
                    if path.is_file() and (found := path.stat()).st_mtime < limit:
                        yield path.relative_to(self._folder).as_posix(), found.st_size

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

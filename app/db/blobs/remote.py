"""Blobs in whatever fsspec speaks to, such as S3, with a bounded cache on this machine.

An upload is one operation to the reader: object storages show an object when its last part has arrived. What
is fetched is checked by its digest, kept by its key, and dropped again when the cache is full and it has not
been asked for lately.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from app.db.blobs.base import (
    PREFIXES,
    BlobDamaged,
    BlobMissing,
    BlobStore,
    StorageAway,
    checked,
    content_of,
    sha256_of,
)

_IN_USE_S = 120.0  # what was asked for so lately is not dropped: somebody may be about to open it
_IDENTITY = "installation"


class RemoteBlobs(BlobStore):
    """Blobs at a URL.

    Args:
        url: such as `s3://bucket/prefix`.
        cache: folder of this machine, shared by its processes.
        cache_bytes: how large the cache grows.
        options: for fsspec's file system, such as an endpoint; credentials come from the environment.
    """

    def __init__(
        self, url: str, cache: Path, cache_bytes: int, options: dict[str, Any] | None = None
    ) -> None:
        super().__init__(cache)
        self._cache = cache / "blobs"
        self._cache.mkdir(parents=True, exist_ok=True)
        self._cache_bytes = cache_bytes
        # Other processes change the storage, too: nothing of it is remembered.
        shared = {"use_listings_cache": False, "skip_instance_cache": True, **(options or {})}
        try:
            self._files, self._root = fsspec.core.url_to_fs(url, **shared)
        except ImportError as error:
            raise StorageAway(f"{url} needs a package: {error}") from error

    def exists(self, key: str) -> bool:
        """Return whether there is such a blob."""
        with _answering():
            return bool(self._files.exists(self._place(key)))

    def fetch(self, key: str, *, sha256: str | None = None) -> Path:
        """Return a file of the cache with the blob's bytes, checked as it arrived.

        Raises:
            BlobMissing: there is none, or its bytes are others.
            StorageAway: the storage does not answer.
        """
        kept = self._cache / hashlib.sha256(key.encode()).hexdigest()
        with contextlib.suppress(FileNotFoundError):
            os.utime(kept)
            return kept
        place = self._place(key)
        with self.incoming() as (file, path):
            file.close()
            try:
                with _answering():
                    self._files.get_file(place, str(path))
            except FileNotFoundError:
                raise BlobMissing(key) from None
            expected = sha256 or content_of(key)
            if expected is not None and sha256_of(path) != expected:
                raise BlobDamaged(key)
            path.replace(kept)
        self._make_room()
        return kept

    def adopt(self, path: Path, key: str) -> None:
        """Upload a flushed temporary file, in parts where it is large, and keep it here, too."""
        with _answering():
            self._files.put_file(str(path), self._place(key))
        path.replace(self._cache / hashlib.sha256(key.encode()).hexdigest())
        self._make_room()

    def delete(self, key: str) -> None:
        """Remove the blob if it is there."""
        (self._cache / hashlib.sha256(key.encode()).hexdigest()).unlink(missing_ok=True)
        with _answering(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._place(key))

    def delete_folder(self, prefix: str) -> None:
        """Remove all blobs under a prefix such as `jobs/<id>`."""
        with _answering(), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._place(prefix), recursive=True)

    def renew(self, key: str) -> bool:
        """Return False: object storages date what is written, so a blob is written again to be young."""
        del key
        return False

    def sizes(self, *, older_than_s: float) -> Iterator[tuple[str, int]]:
        """Iterate over keys and sizes of the blobs that are at least this old."""
        limit = datetime.fromtimestamp(time.time() - older_than_s, UTC)
        for prefix in PREFIXES:
            with _answering():
                found = self._files.find(self._place(prefix), detail=True)
            for place, what in found.items():
                if _written(what) < limit:
                    yield place.removeprefix(self._root).lstrip("/"), int(what["size"])

    def check_writable(self) -> None:
        """Raise OSError unless the storage answers; writing would cost a request of its own each time."""
        with _answering():
            self._files.exists(self._place(_IDENTITY))

    def check_room(self) -> None:
        """Raise OSError unless a blob can be written."""
        with _answering():
            self._files.pipe_file(self._place("probe"), b"ready")

    def identity(self) -> str | None:
        """Return the name of the installation that the storage belongs to; None when nobody has said."""
        try:
            with _answering():
                return bytes(self._files.cat_file(self._place(_IDENTITY))).decode("ascii").strip()
        except FileNotFoundError:
            return None

    def adopt_identity(self, identity: str) -> None:
        """Say which installation the storage belongs to."""
        with _answering():
            self._files.pipe_file(self._place(_IDENTITY), identity.encode("ascii"))

    def _place(self, key: str) -> str:
        return f"{self._root}/{checked(key)}"

    def _make_room(self) -> None:
        """Drop what was not asked for lately until the cache is small enough."""
        found = []
        for path in self._cache.iterdir():
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        excess = sum(size for _, size, _ in found) - self._cache_bytes
        for used_at, size, path in sorted(found):
            if excess <= 0 or used_at > time.time() - _IN_USE_S:
                return
            path.unlink(missing_ok=True)
            excess -= size


def _written(what: dict[str, Any]) -> datetime:
    """Return when an object was written, as each file system says it."""
    said = what.get("LastModified") or what.get("created") or what.get("mtime")
    if isinstance(said, int | float):
        return datetime.fromtimestamp(said, UTC)
    if isinstance(said, datetime):
        return said if said.tzinfo is not None else said.replace(tzinfo=UTC)
    return datetime.now(UTC)  # nothing is known: it counts as new


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Turn the many exceptions of file systems into one; that a file is not there stays what it is."""
    try:
        yield
    except (FileNotFoundError, StorageAway):
        raise
    except Exception as error:
        raise StorageAway(f"the storage failed: {type(error).__name__}: {error}") from error

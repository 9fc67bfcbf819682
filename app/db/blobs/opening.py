"""Which storage there is, as one value that travels to runners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.db.blobs.base import BlobStore
from app.db.blobs.folder import FolderBlobs


@dataclass(frozen=True)
class Place:
    """Where the blobs are.

    Attributes:
        folder: of the data on this machine; absolute.
        url: of a storage that fsspec speaks to; None where the blobs are in the folder.
        cache_bytes: how large the cache of a remote storage grows.
    """

    folder: str
    url: str | None = None
    cache_bytes: int = 0


def open_blobs(place: Place) -> BlobStore:
    """Return the storage.

    Raises:
        StorageAway: a package that it needs is missing.
    """
    if place.url is None:
        return FolderBlobs(Path(place.folder) / "blobs")
    from app.db.blobs.remote import RemoteBlobs  # fsspec and its protocols take a while

    return RemoteBlobs(place.url, Path(place.folder) / "cache", place.cache_bytes)

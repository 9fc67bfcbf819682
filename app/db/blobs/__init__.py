"""The blob store: files too large for the database, by key, in a storage that all processes share.

A blob appears whole or not at all, and is never changed. Keys are made by the service (hashes and ids), never
by a client. What jobs make is named by its content (`put`), so jobs with equal files share one; the table
`job_blobs` counts the uses, and a sweep removes what nothing uses any more (`app.engine.storage`).

The storage is a folder (`folder`) or anything that fsspec speaks to, such as S3 (`remote`).
"""

from app.db.blobs.base import BlobDamaged, BlobMissing, BlobStore, StorageAway, StoredBlob
from app.db.blobs.folder import FolderBlobs
from app.db.blobs.opening import Place, open_blobs

__all__ = [
    "BlobDamaged",
    "BlobMissing",
    "BlobStore",
    "FolderBlobs",
    "Place",
    "StorageAway",
    "StoredBlob",
    "open_blobs",
]

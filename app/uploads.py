"""Uploads that become models and datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from app.db.tables import Dataset, Model
from app.kit.uploads import Upload
from app.services import Services

RowT = TypeVar("RowT", Model, Dataset)


def store_upload(
    services: Services, upload: Upload, key: str, store: Callable[[Session], tuple[RowT, bool]]
) -> tuple[RowT, bool]:
    """Make an upload a blob and its row together: both are there afterwards, or neither is.

    Args:
        services: for the database and the blob store.
        upload: the file.
        key: of the blob to be, new.
        store: adds the row that refers to the key, or to another project's blob of the same content; or
            returns another row of the project that holds the same content. It says whether the row is new.

    Returns:
        The row, and whether it is new.
    """
    services.blobs.adopt(upload.path, key)
    try:
        with services.database.transaction() as session:
            row, is_new = store(session)
    except BaseException:
        services.blobs.delete(key)
        raise
    if row.blob_key != key:
        services.blobs.delete(key)
    return row, is_new

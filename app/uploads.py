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
    services: Services, upload: Upload, key: str, store: Callable[[Session], RowT]
) -> tuple[RowT, bool]:
    """Make an upload a blob and its row together: both are there afterwards, or neither is.

    Args:
        services: for the database and the blob store.
        upload: the file.
        key: of the blob to be, new.
        store: adds the row that refers to the key, or returns another row that holds the same content.

    Returns:
        The row, and whether it is new.
    """
    services.blobs.adopt(upload.path, key)
    try:
        with services.database.transaction() as session:
            row = store(session)
    except BaseException:
        services.blobs.delete(key)
        raise
    if row.blob_key == key:
        return row, True
    services.blobs.delete(key)
    return row, False

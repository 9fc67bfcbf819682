"""The storage beside the database: which installation it belongs to, and blobs that nothing names."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.blobs import BlobStore
from app.db.session import Database
from app.db.tables import Dataset, JobBlob, Model, ServiceFact

_INSTALLATION = "installation"
_YOUNG_S = 3600.0  # files that a runner has written and not yet recorded in the database are younger
_AT_ONCE = 500


def installation(session: Session) -> str | None:
    """Return the name of the installation that the database belongs to; None before an API has started."""
    fact = session.get(ServiceFact, _INSTALLATION)
    return None if fact is None else fact.value


def claim_storage(database: Database, blobs: BlobStore) -> None:
    """Mark the storage as this database's, unless it is another's; an API does so when it starts."""
    with database.transaction() as session:
        name = installation(session)
        if name is None:
            name = blobs.identity() or str(uuid.uuid4())
            session.add(ServiceFact(name=_INSTALLATION, value=name))
    if blobs.identity() is None:
        blobs.adopt_identity(name)


def storage_fault(session: Session, blobs: BlobStore) -> str | None:
    """Return why the storage is not the one that belongs to the database; None when it is."""
    name, found = installation(session), blobs.identity()
    if name is None or name == found:
        return None
    what = "has no mark of an installation" if found is None else "belongs to another installation"
    return f"the storage {what}: let DRIFTLINE_DATA_DIR be the API's folder, shared by all machines"


class UnusedBlobs:
    """Removes blobs that nothing names: no job, no model, no dataset.

    They are left by what was deleted, and by a crash between a blob and its row. A blob is removed when
    nothing names it at two looks in a row: a job that took it over from one that was deleted in that moment
    is in the database by then.
    """

    def __init__(self, database: Database, blobs: BlobStore, *, young_s: float = _YOUNG_S) -> None:
        self._database = database
        self._blobs = blobs
        self._young_s = young_s
        self._suspects: set[str] = set()

    def find(self) -> dict[str, int]:
        """Return the blobs that nothing names at present, with their sizes; young ones are left out."""
        sizes = dict(sorted(self._blobs.sizes(older_than_s=self._young_s)))
        keys = list(sizes)
        with self._database.reading() as session:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                for column in (JobBlob.blob_key, Model.blob_key, Dataset.blob_key):
                    for used in session.scalars(select(column).where(column.in_(some))):
                        sizes.pop(used, None)
        return sizes

    def look(self) -> dict[str, int]:
        """Look once; return the blobs that were removed, with their sizes."""
        unused = self.find()
        gone = {key: size for key, size in unused.items() if key in self._suspects}
        for key in gone:
            self._blobs.delete(key)
        self._suspects = unused.keys() - gone.keys()
        return gone

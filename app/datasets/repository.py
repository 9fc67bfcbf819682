"""The queries of uploaded datasets."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.scope import EVERY_PROJECT
from app.db.tables import Dataset, Job


class DatasetRepository:
    """Uploaded datasets, and which jobs are on them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, dataset: Dataset) -> None:
        """Store a new dataset; IntegrityError when it is stored already."""
        with self._session.begin_nested():
            self._session.add(dataset)

    def get(self, dataset_id: str) -> Dataset | None:
        """Return the dataset."""
        return self._session.get(Dataset, dataset_id)

    def with_identity(self, identity: str) -> Dataset | None:
        """Return the dataset of this content, split this way."""
        return self._session.scalars(select(Dataset).where(Dataset.identity == identity)).one_or_none()

    def listing(self, *, before_id: str | None, limit: int) -> Sequence[Dataset]:
        """Return datasets, newest first, older than the given one."""
        query = select(Dataset).order_by(Dataset.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(Dataset.id < before_id)
        return self._session.scalars(query).all()

    def jobs_on(self, dataset_id: str, *, limit: int) -> Sequence[tuple[str, str]]:
        """Return (id, state) of jobs on the dataset, newest first."""
        query = (
            select(Job.id, Job.state).where(Job.dataset_id == dataset_id).order_by(Job.id.desc()).limit(limit)
        )
        return [(row.id, row.state) for row in self._session.execute(query)]

    def delete(self, dataset: Dataset) -> None:
        """Delete the dataset's row."""
        self._session.delete(dataset)

    def blob_of(self, sha256: str) -> str | None:
        """Return the key of the blob that any project's dataset of these bytes has, locked until the end."""
        query = select(Dataset.blob_key).where(Dataset.sha256 == sha256).limit(1).with_for_update(read=True)
        return self._session.scalars(query.execution_options(**EVERY_PROJECT)).one_or_none()

    def uses_of(self, blob_key: str) -> int:
        """Return how many datasets of any project have the blob, locked until the transaction ends."""
        query = select(Dataset.id).where(Dataset.blob_key == blob_key).order_by(Dataset.id).with_for_update()
        return len(self._session.scalars(query.execution_options(**EVERY_PROJECT)).all())

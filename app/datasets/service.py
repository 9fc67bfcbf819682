"""The rules of datasets. It never commits: the endpoint's transaction does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.datasets.repository import DatasetRepository
from app.datasets.schemas import DatasetView, SamplesView
from app.db.ids import is_id
from app.db.tables import Dataset
from app.kit.fields import not_found
from app.kit.problems import Conflict
from app.kit.uploads import Upload
from app.kit.usage import NAMED_JOBS, refuse_if_used
from simulator.config.datasets import builtin_datasets


def identity_of(sha256: str, file_format: str, options: dict[str, Any]) -> str:
    """Return what distinguishes datasets: content, format and options together."""
    parts = [sha256, file_format, options]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class DatasetService:
    """Stores, finds and deletes datasets."""

    def __init__(self, session: Session) -> None:
        self.datasets = DatasetRepository(session)

    def view(self, dataset_id: str) -> DatasetView:
        """Return a built-in or uploaded dataset as clients see it; NotFound if there is none."""
        report = builtin_datasets().get(dataset_id)
        if report is not None:
            return DatasetView.of_builtin(dataset_id, report)
        return DatasetView.of(self._get(dataset_id))

    def samples(self, dataset_id: str, most: int) -> SamplesView:
        """Return a few samples of a dataset; NotFound if there is none."""
        report = builtin_datasets().get(dataset_id)
        if report is None:
            report = self._get(dataset_id).report
        return SamplesView.of(dataset_id, report, most)

    def listing(self, *, after: str | None, limit: int) -> list[DatasetView]:
        """Return datasets after the given one: uploaded ones, newest first, then built-in ones."""
        builtin = [
            DatasetView.of_builtin(name, report) for name, report in sorted(builtin_datasets().items())
        ]
        if after is not None and not is_id(after):
            return [view for view in builtin if view.id > after][:limit]
        uploaded = [DatasetView.of(row) for row in self.datasets.listing(before_id=after, limit=limit)]
        return (uploaded + builtin)[:limit]

    def store(
        self,
        upload: Upload,
        *,
        name: str | None,
        file_format: str,
        options: dict[str, Any],
        report: dict[str, Any],
        blob_key: str,
        is_stored: Callable[[str], bool],
    ) -> tuple[Dataset, bool]:
        """Store a new dataset, or return the same one that another request stored meanwhile.

        Args:
            upload: the file.
            name: of the dataset; None is the file's.
            file_format: of the file.
            options: of the split and the layout.
            report: what the inspection found.
            blob_key: of the new blob; the dataset gets the one of another with these bytes, if there is one.
            is_stored: tells whether the storage has a blob.

        Returns:
            The dataset, and whether it is new.
        """
        shared = self.datasets.blob_of(upload.sha256)
        identity = identity_of(upload.sha256, file_format, options)
        dataset = Dataset(
            name=name or upload.label("dataset"),
            identity=identity,
            sha256=upload.sha256,
            size_bytes=upload.size_bytes,
            format=file_format,
            options=options,
            blob_key=shared if shared is not None and is_stored(shared) else blob_key,
            report=report,
        )
        try:
            self.datasets.add(dataset)
        except IntegrityError:
            earlier = self.datasets.with_identity(identity)
            if earlier is None:
                raise
            return earlier, False
        return dataset, True

    def delete(self, dataset_id: str) -> str | None:
        """Delete an uploaded dataset; return the key of its blob, None if others have it, too.

        Raises:
            NotFound: there is none.
            Conflict: jobs are on it, or it is built in.
        """
        if dataset_id in builtin_datasets():
            raise Conflict(f"{dataset_id} is built in and cannot be deleted", code="builtin")
        dataset = self._get(dataset_id)
        refuse_if_used("dataset", self.datasets.jobs_on(dataset_id, limit=NAMED_JOBS))
        uses = self.datasets.uses_of(dataset.blob_key)
        self.datasets.delete(dataset)
        return dataset.blob_key if uses == 1 else None

    def _get(self, dataset_id: str) -> Dataset:
        dataset = self.datasets.get(dataset_id) if is_id(dataset_id) else None
        if dataset is None:
            raise not_found("dataset", dataset_id)
        return dataset

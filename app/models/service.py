"""The rules of models. It never commits: the endpoint's transaction does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.tables import Model
from app.kit.fields import not_found
from app.kit.uploads import Upload
from app.kit.usage import NAMED_JOBS, refuse_if_used
from app.models.repository import ModelRepository


def identity_of(sha256: str, outputs: str | None) -> str:
    """Return what distinguishes models: their bytes, and the outputs that were chosen, if any were."""
    if outputs is None:
        return sha256
    return hashlib.sha256(f"{sha256} {outputs}".encode()).hexdigest()


def is_up_to_date(model: Model) -> bool:
    """Return whether a model's report says all that this version looks for in files."""
    return "operations" in model.report


class ModelService:
    """Stores, finds and deletes models; the same bytes are one model in a project, and one blob for all."""

    def __init__(self, session: Session) -> None:
        self.models = ModelRepository(session)

    def get(self, model_id: str) -> Model:
        """Return the model; NotFound if there is none."""
        model = self.models.get(model_id)
        if model is None:
            raise not_found("model", model_id)
        return model

    def store(
        self,
        upload: Upload,
        *,
        identity: str,
        name: str | None,
        report: dict[str, Any],
        blob_key: str,
        is_stored: Callable[[str], bool],
    ) -> tuple[Model, bool]:
        """Store a new model, or return the one of the same bytes that was there already.

        A report that an earlier version of the service made gives way to the new one.

        Args:
            upload: the file.
            identity: of its content and the chosen outputs.
            name: of the model; None is the file's.
            report: what the inspection found.
            blob_key: of the new blob; the model gets the one that another project's has, if there is one.
            is_stored: tells whether the storage has a blob.

        Returns:
            The model, and whether it is new.
        """
        shared = self.models.blob_of(identity)
        model = Model(
            name=name or upload.label("model"),
            sha256=identity,
            size_bytes=upload.size_bytes,
            blob_key=shared if shared is not None and is_stored(shared) else blob_key,
            report=report,
        )
        try:
            self.models.add(model)
        except IntegrityError:
            earlier = self.models.with_content(identity)
            if earlier is None:
                raise
            if not is_up_to_date(earlier):
                earlier.report = report
            return earlier, False
        return model, True

    def delete(self, model_id: str) -> str | None:
        """Delete the model; return the key of its blob, None if other models have it, too.

        Raises:
            NotFound: there is none.
            Conflict: jobs are on it.
        """
        model = self.get(model_id)
        refuse_if_used("model", self.models.jobs_on(model_id, limit=NAMED_JOBS))
        uses = self.models.uses_of(model.blob_key)
        self.models.delete(model)
        return model.blob_key if uses == 1 else None

"""The rules of models. It never commits: the endpoint's transaction does."""

from __future__ import annotations

import hashlib
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
    """Stores, finds and deletes models; the same bytes are one model."""

    def __init__(self, session: Session) -> None:
        self.models = ModelRepository(session)

    def get(self, model_id: str) -> Model:
        """Return the model; NotFound if there is none."""
        model = self.models.get(model_id)
        if model is None:
            raise not_found("model", model_id)
        return model

    def store(
        self, upload: Upload, *, identity: str, name: str | None, report: dict[str, Any], blob_key: str
    ) -> Model:
        """Store a new model, or return the one of the same bytes that was there already.

        A report that an earlier version of the service made gives way to the new one.
        """
        model = Model(
            name=name or upload.label("model"),
            sha256=identity,
            size_bytes=upload.size_bytes,
            blob_key=blob_key,
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
            return earlier
        return model

    def delete(self, model_id: str) -> str:
        """Delete the model; return the key of its blob.

        Raises:
            NotFound: there is none.
            Conflict: jobs are on it.
        """
        model = self.get(model_id)
        refuse_if_used("model", self.models.jobs_on(model_id, limit=NAMED_JOBS))
        self.models.delete(model)
        return model.blob_key

"""The queries of models."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.scope import EVERY_PROJECT
from app.db.tables import Job, Model


class ModelRepository:
    """Models, and which jobs are on them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, model: Model) -> None:
        """Store a new model; IntegrityError when its content is stored already."""
        with self._session.begin_nested():
            self._session.add(model)

    def get(self, model_id: str) -> Model | None:
        """Return the model."""
        return self._session.get(Model, model_id)

    def with_content(self, sha256: str) -> Model | None:
        """Return the model of these bytes."""
        return self._session.scalars(select(Model).where(Model.sha256 == sha256)).one_or_none()

    def listing(self, *, before_id: str | None, limit: int) -> Sequence[Model]:
        """Return models, newest first, older than the given one."""
        query = select(Model).order_by(Model.id.desc()).limit(limit)  # ids sort by the time they were made
        if before_id is not None:
            query = query.where(Model.id < before_id)
        return self._session.scalars(query).all()

    def jobs_on(self, model_id: str, *, limit: int) -> Sequence[tuple[str, str]]:
        """Return (id, state) of jobs on the model, newest first."""
        query = select(Job.id, Job.state).where(Job.model_id == model_id).order_by(Job.id.desc()).limit(limit)
        return [(row.id, row.state) for row in self._session.execute(query)]

    def delete(self, model: Model) -> None:
        """Delete the model's row."""
        self._session.delete(model)

    def blob_of(self, sha256: str) -> str | None:
        """Return the key of the blob that any project's model of these bytes has, locked until the end."""
        query = select(Model.blob_key).where(Model.sha256 == sha256).limit(1).with_for_update(read=True)
        return self._session.scalars(query.execution_options(**EVERY_PROJECT)).one_or_none()

    def uses_of(self, blob_key: str) -> int:
        """Return how many models of any project have the blob, locked until the transaction ends."""
        query = select(Model.id).where(Model.blob_key == blob_key).order_by(Model.id).with_for_update()
        return len(self._session.scalars(query.execution_options(**EVERY_PROJECT)).all())

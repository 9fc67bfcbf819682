"""The queries of health."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.db.scope import EVERY_PROJECT
from app.db.tables import Artifact, Dataset, Job, Model, WebhookDelivery, Worker, WorkItem
from app.db.types import utc_now
from app.engine.states import ItemState
from app.engine.webhooks.outbox import DeliveryState


class WorkerRepository:
    """Worker processes and what they hold."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def count_heard_since(self, since_s: float) -> int:
        """Return how many workers have reported since a time of the database's clock, in s."""
        query = select(func.count()).select_from(Worker).where(Worker.heartbeat_at_s >= since_s)
        return self._session.scalars(query).one()

    def listing(self) -> Sequence[tuple[Worker, int]]:
        """Return the workers, each with the number of its running items, the latest report first."""
        running = (
            select(func.count())
            .where(WorkItem.lease_owner == Worker.id, WorkItem.state == ItemState.RUNNING)
            .scalar_subquery()
        )
        query = select(Worker, running).order_by(Worker.heartbeat_at_s.desc(), Worker.id)
        rows = self._session.execute(query, execution_options=EVERY_PROJECT)  # workers are everybody's
        return [(worker, items) for worker, items in rows]


class StateRepository:
    """What the metrics tell of the whole service."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def jobs_by_state(self) -> dict[str, float]:
        """Return how many jobs are in each state."""
        query = select(Job.state, func.count()).group_by(Job.state)
        return dict(self._session.execute(query).all())

    def open_items(self) -> Sequence[Row[str, str, int, datetime | None]]:
        """Return kind, state and `number` of open items, and `since` when the oldest of them waits."""
        is_open = WorkItem.state.in_((ItemState.BLOCKED, ItemState.QUEUED, ItemState.RUNNING))
        query = (
            select(
                WorkItem.kind,
                WorkItem.state,
                func.count().label("number"),
                func.min(WorkItem.queued_at).label("since"),
            )
            .where(is_open)
            .group_by(WorkItem.kind, WorkItem.state)
        )
        return self._session.execute(query).all()

    def stored_bytes(self) -> dict[str, float]:
        """Return the bytes of models, datasets and artifacts; jobs with equal files share them."""
        found: dict[str, float] = {}
        for what, table in (("models", Model), ("datasets", Dataset), ("artifacts", Artifact)):
            blobs = select(table.blob_key, table.size_bytes).distinct().subquery()
            found[what] = float(
                self._session.scalars(select(func.coalesce(func.sum(blobs.c.size_bytes), 0))).one()
            )
        return found

    def waiting_deliveries(self) -> int:
        """Return how many messages of webhooks wait to be accepted."""
        query = select(func.count()).where(WebhookDelivery.state == DeliveryState.PENDING)
        return self._session.scalars(query).one()

    def queued_by_requirement(self) -> Sequence[tuple[str, int]]:
        """Return what queued items require of a worker, and how many do."""
        queued = WorkItem.state == ItemState.QUEUED
        query = select(WorkItem.requires, func.count()).where(queued).group_by(WorkItem.requires)
        return self._session.execute(query).all()

    def longest_wait_s(self) -> float | None:
        """Return how long the oldest queued item waits, in s; None where none waits."""
        query = select(func.min(WorkItem.queued_at)).where(WorkItem.state == ItemState.QUEUED)
        since = self._session.scalars(query).one()
        return None if since is None else max(0.0, (utc_now() - since).total_seconds())

"""The queries of health."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.scope import EVERY_PROJECT
from app.db.tables import Worker, WorkItem
from app.engine.states import ItemState


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

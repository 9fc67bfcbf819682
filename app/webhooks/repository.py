"""The queries of webhooks, for the API."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.db.tables import Webhook, WebhookDelivery


class WebhookRepository:
    """Webhooks and the log of their deliveries."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, webhook: Webhook) -> None:
        """Store a new webhook."""
        self._session.add(webhook)
        self._session.flush()

    def count(self) -> int:
        """Return how many there are."""
        return self._session.scalars(select(func.count()).select_from(Webhook)).one()

    def get(self, webhook_id: str) -> Webhook | None:
        """Return the webhook."""
        return self._session.get(Webhook, webhook_id)

    def locked(self, webhook_id: str) -> Webhook | None:
        """Return the webhook, locked until the transaction ends."""
        return self._session.get(Webhook, webhook_id, with_for_update=True, populate_existing=True)

    def listing(self, *, before_id: str | None, limit: int) -> Sequence[Webhook]:
        """Return webhooks, newest first, older than the given one."""
        query = select(Webhook).order_by(Webhook.id.desc()).limit(limit)  # ids sort by their time
        if before_id is not None:
            query = query.where(Webhook.id < before_id)
        return self._session.scalars(query).all()

    def deliveries(self, webhook_id: str, *, before_id: str | None, limit: int) -> Sequence[WebhookDelivery]:
        """Return deliveries to the webhook, newest first, older than the given one."""
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
        if before_id is not None:
            query = query.where(WebhookDelivery.id < before_id)
        return self._session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit)).all()

    def delivery(self, webhook_id: str, delivery_id: str) -> WebhookDelivery | None:
        """Return a delivery to the webhook, locked until the transaction ends."""
        query = select(WebhookDelivery).where(
            WebhookDelivery.id == delivery_id, WebhookDelivery.webhook_id == webhook_id
        )
        return self._session.scalars(query.with_for_update()).one_or_none()

    def delete(self, webhook: Webhook) -> None:
        """Delete the webhook with its deliveries."""
        self._session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id))
        self._session.delete(webhook)

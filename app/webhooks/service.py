"""The rules of webhooks. It never commits: the endpoint's transaction does."""

from __future__ import annotations

import logging
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from app.db.sealing import SealedError
from app.db.tables import Webhook, WebhookDelivery
from app.db.types import utc_now
from app.engine.webhooks import messages, outbox, signing
from app.engine.webhooks.addresses import is_private_host
from app.kit.fields import not_found
from app.kit.problems import Conflict, Fault, InvalidRequest
from app.settings import Settings
from app.webhooks.repository import WebhookRepository
from app.webhooks.schemas import WebhookChange, WebhookCreate

log = logging.getLogger(__name__)

_OLD_SECRET_SIGNS = timedelta(days=1)
MAX_WEBHOOKS = 100  # every transition of every job writes a row for each


class WebhookService:
    """Makes, changes, tests and deletes webhooks."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        self._sealer = settings.sealer
        self.webhooks = WebhookRepository(session)

    def create(self, request: WebhookCreate) -> tuple[Webhook, str]:
        """Store a new webhook; return it with its secret.

        Raises:
            InvalidRequest: its address is a private one.
            Conflict: there are too many.
        """
        self._refuse_private(request.url)
        if self.webhooks.count() >= MAX_WEBHOOKS:
            message = f"there are {MAX_WEBHOOKS} webhooks already; delete one first"
            raise Conflict(message, code="too_many_webhooks")
        secret = signing.new_secret()
        webhook = Webhook(
            url=request.url,
            events=None if request.events is None else list(dict.fromkeys(request.events)),
            description=request.description,
            secret=self._sealer.seal(secret),
        )
        self.webhooks.add(webhook)
        return webhook, secret

    def get(self, webhook_id: str) -> Webhook:
        """Return the webhook; NotFound if there is none."""
        return _found(self.webhooks.get(webhook_id), webhook_id)

    def change(self, webhook_id: str, request: WebhookChange) -> Webhook:
        """Change what the request sets; enabling forgets earlier failures.

        Raises:
            NotFound: there is none.
            InvalidRequest: the new address is a private one.
        """
        webhook = self.locked(webhook_id)
        given = request.model_fields_set
        if request.url is not None:
            self._refuse_private(request.url)
            webhook.url = request.url
        if "events" in given:
            webhook.events = None if request.events is None else list(dict.fromkeys(request.events))
        if "description" in given:
            webhook.description = request.description
        if request.enabled is not None:
            webhook.enabled = request.enabled
            webhook.disabled_reason = None
            webhook.failing_since = None
        self._session.flush()
        return webhook

    def delete(self, webhook_id: str) -> None:
        """Delete the webhook with its deliveries; NotFound if there is none."""
        self.webhooks.delete(self.locked(webhook_id))

    def test(self, webhook_id: str) -> WebhookDelivery:
        """Queue a message that only tests the way; it is not tried again.

        Raises:
            NotFound: there is none.
            Conflict: it is disabled.
        """
        webhook = self.locked(webhook_id)
        self._require_enabled(webhook)
        body = messages.test_message(webhook, utc_now())
        delivery = outbox.queue(self._session, webhook, messages.TEST, body)
        self._session.flush()
        return delivery

    def rotate(self, webhook_id: str) -> tuple[Webhook, str]:
        """Give the webhook a new secret and return it with that; the old one signs beside it for a day.

        An old one that cannot be read with the present keys signs no more.

        Raises:
            NotFound: there is none.
        """
        webhook = self.locked(webhook_id)
        try:
            old = self._sealer.open(webhook.secret)
        except SealedError as error:
            log.warning("the old secret of webhook %s is dropped: %s", webhook.id, error)
            webhook.old_secret = webhook.old_secret_until = None
        else:
            webhook.old_secret, webhook.old_secret_until = (
                self._sealer.seal(old),
                utc_now() + _OLD_SECRET_SIGNS,
            )
        secret = signing.new_secret()
        webhook.secret = self._sealer.seal(secret)
        self._session.flush()
        return webhook, secret

    def redeliver(self, webhook_id: str, delivery_id: str) -> WebhookDelivery:
        """Queue a message again, under the same id.

        Raises:
            NotFound: there is no such webhook, or no such message for it.
            Conflict: the webhook is disabled, or the message is on its way.
        """
        webhook = self.locked(webhook_id)
        delivery = self.webhooks.delivery(webhook.id, delivery_id)
        if delivery is None:
            raise not_found("delivery", delivery_id)
        self._require_enabled(webhook)
        if delivery.state in (outbox.DeliveryState.PENDING, outbox.DeliveryState.SENDING):
            raise Conflict("the message is on its way already", code="delivery_pending")
        outbox.queue_again(delivery)
        self._session.flush()
        return delivery

    def _require_enabled(self, webhook: Webhook) -> None:
        if not webhook.enabled:
            message = "the webhook is disabled; enable it first"
            raise Conflict(message, code="webhook_disabled")

    def locked(self, webhook_id: str) -> Webhook:
        """Return the webhook, locked until the transaction ends; NotFound if there is none."""
        return _found(self.webhooks.locked(webhook_id), webhook_id)

    def _refuse_private(self, url: str) -> None:
        """Refuse what is plainly not on the internet; names are looked up whenever something is sent."""
        if self._settings.webhook_allow_private or not is_private_host(urlsplit(url).hostname or ""):
            return
        message = "a webhook's address must be public"
        fault = Fault(
            pointer="/url",
            code="private_address",
            message=message,
            hint="whoever runs the service may allow others with DRIFTLINE_WEBHOOK_ALLOW_PRIVATE=true",
        )
        raise InvalidRequest(message, errors=[fault])


def _found(webhook: Webhook | None, webhook_id: str) -> Webhook:
    if webhook is None:
        raise not_found("webhook", webhook_id)
    return webhook

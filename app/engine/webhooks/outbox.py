"""The outbox: messages are stored with the change that they are about; any worker claims and sends them.

A claim is a lease with a token that grows, as with work items: a worker that lost it settles nothing. A
message is sent at least once; its id stays the same, so that receivers can recognise repetitions.
Times are the database's.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from app.db.tables import Job, Webhook, WebhookDelivery
from app.db.types import database_now_s, utc_now
from app.engine.webhooks import messages

_GONE = 410
_LONGEST_WAIT_S = 4 * 3600.0
_GRACE_S = 300.0
_LOG_KEPT = timedelta(days=30)


class DeliveryState(StrEnum):
    """The states of a delivery; the last two are final."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Claim:
    """A message to be sent, held under a lease; its secrets are as they are stored."""

    delivery_id: str
    webhook_id: str
    token: int
    url: str
    secrets: tuple[str, ...]
    body: str


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a delivery ended.

    Attributes:
        status_code: what the receiver answered; None if it did not.
        latency_ms: until the answer, or until it was given up.
        error: why there is no answer, or why it does not count.
    """

    status_code: int | None
    latency_ms: float
    error: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took the message."""
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True)
class Patience:
    """How long it is tried.

    Attributes:
        retry_s: the first wait; each further one is twice as long, up to 4 hours.
        give_up_s: a message is given up this long after it was queued.
        disable_after_s: a webhook that has failed for this long is disabled.
    """

    retry_s: float
    give_up_s: float
    disable_after_s: float


def announce(session: Session, job: Job) -> None:
    """Queue messages about a locked job's new state, in the transaction that sets it."""
    event_type = f"job.{job.state}"
    # Locked against deletion, so that a message never refers to a webhook that is gone.
    theirs = select(Webhook).where(Webhook.enabled, Webhook.project == job.project)
    query = theirs.with_for_update(read=True, key_share=True)
    wanted = [one for one in session.scalars(query) if one.events is None or event_type in one.events]
    if wanted:
        body = messages.job_message(job, event_type, utc_now())
        for webhook in wanted:
            queue(session, webhook, event_type, body, job_id=job.id)


def queue(
    session: Session, webhook: Webhook, event_type: str, body: str, *, job_id: str | None = None
) -> WebhookDelivery:
    """Queue a message for a webhook."""
    delivery = WebhookDelivery(
        webhook_id=webhook.id,
        type=event_type,
        job_id=job_id,
        payload=body,
        state=DeliveryState.PENDING,
        attempts=[],
        queued_s=database_now_s(),
        due_s=database_now_s(),
    )
    session.add(delivery)
    return delivery


def queue_again(delivery: WebhookDelivery) -> None:
    """Queue a message that was delivered or given up once more; its attempts stay in the log."""
    delivery.state = DeliveryState.PENDING
    delivery.finished_at = None
    delivery.queued_s = delivery.due_s = database_now_s()  # the database puts its clock there


def has_due(session: Session) -> bool:
    """Return whether something is to be sent now."""
    return session.scalars(_due().limit(1)).first() is not None


def claim(session: Session, *, limit: int, lease_s: float) -> list[Claim]:
    """Claim the oldest message that is due of each of some webhooks: one at a time for each."""
    claims = []
    for delivery_id in session.scalars(_due().limit(limit)).all():
        token = _take(session, delivery_id, lease_s)
        delivery = session.get(WebhookDelivery, delivery_id, populate_existing=True)
        if token is None or delivery is None:
            continue  # another worker was faster
        webhook = session.get(Webhook, delivery.webhook_id)
        if webhook is not None:
            claims.append(
                Claim(delivery.id, webhook.id, token, webhook.url, _secrets(webhook), delivery.payload)
            )
    return claims


def _secrets(webhook: Webhook) -> tuple[str, ...]:
    """Return what signs the webhook's messages now: its secret, and for a while the one before."""
    if webhook.old_secret is None or webhook.old_secret_until is None or webhook.old_secret_until < utc_now():
        return (webhook.secret,)
    return webhook.secret, webhook.old_secret


def settle(session: Session, claimed: Claim, outcome: Outcome, patience: Patience) -> None:
    """Write down how an attempt ended, and what comes of it; nothing if the lease was lost."""
    # Webhooks are locked before their deliveries, here as when one is deleted.
    webhook = session.get(Webhook, claimed.webhook_id, with_for_update=True, populate_existing=True)
    delivery = session.get(WebhookDelivery, claimed.delivery_id, with_for_update=True, populate_existing=True)
    if webhook is None or delivery is None:
        return
    if delivery.lease_token != claimed.token or delivery.state != DeliveryState.SENDING:
        return
    now = utc_now()
    attempt = {"at": now.isoformat().replace("+00:00", "Z"), **asdict(outcome)}
    delivery.attempts = [*delivery.attempts, attempt]
    delivery.lease_expires_s = None
    if outcome.succeeded:
        webhook.failing_since = None
        _finish(delivery, DeliveryState.DELIVERED)
        return
    if delivery.type == messages.TEST:
        _finish(delivery, DeliveryState.FAILED)
        return
    webhook.failing_since = webhook.failing_since or now
    if outcome.status_code == _GONE:
        _disable(webhook, "the receiver answered 410 Gone")
    elif now - webhook.failing_since >= timedelta(seconds=patience.disable_after_s):
        _disable(webhook, f"every attempt has failed since {webhook.failing_since:%Y-%m-%d %H:%M} UTC")
    now_s = float(session.scalars(select(database_now_s())).one())
    due_s = now_s + wait_s(delivery.id, len(delivery.attempts), patience.retry_s)
    if due_s > delivery.queued_s + patience.give_up_s:
        _finish(delivery, DeliveryState.FAILED)
    else:
        delivery.state = DeliveryState.PENDING
        delivery.due_s = due_s


def wait_s(delivery_id: str, attempts: int, first_s: float) -> float:
    """Return how long to wait after so many attempts: doubling, and spread by a quarter either way.

    The spread is a function of the delivery and the attempt, so that retries of many do not come together.
    """
    digest = hashlib.blake2b(f"{delivery_id}:{attempts}".encode(), digest_size=8).digest()
    spread = int.from_bytes(digest, "big") / 2**64
    # Beyond 2^20 the longest wait holds whatever the first was; a larger power would only overflow.
    return min(first_s * 2.0 ** min(attempts - 1, 20), _LONGEST_WAIT_S) * (0.75 + 0.5 * spread)


def tidy(session: Session, patience: Patience) -> None:
    """Give up what waited too long, for a disabled webhook or for a worker; forget what is old."""
    overdue_s = patience.give_up_s + _GRACE_S
    session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.state == DeliveryState.PENDING,
            WebhookDelivery.queued_s < database_now_s() - overdue_s,
        )
        .values(state=DeliveryState.FAILED, finished_at=utc_now())
        .execution_options(synchronize_session=False)
    )
    session.execute(
        delete(WebhookDelivery)
        .where(WebhookDelivery.finished_at < utc_now() - _LOG_KEPT)
        .execution_options(synchronize_session=False)
    )


def _due() -> Select[str]:
    """Select, of each webhook that nothing is being sent to, the oldest message that is due."""
    other = aliased(WebhookDelivery)
    busy = exists().where(
        other.webhook_id == WebhookDelivery.webhook_id,
        other.state == DeliveryState.SENDING,
        other.lease_expires_s >= database_now_s(),
    )
    oldest = func.min(WebhookDelivery.id)  # ids sort by the time they were made
    return (
        select(oldest)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(Webhook.enabled, _sendable(), ~busy)
        .group_by(WebhookDelivery.webhook_id)
        .order_by(oldest)
    )


def _take(session: Session, delivery_id: str, lease_s: float) -> int | None:
    """Lease a delivery and return its new token; None when it is no longer to be sent."""
    statement = (
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, _sendable())
        .values(
            state=DeliveryState.SENDING,
            lease_token=WebhookDelivery.lease_token + 1,
            lease_expires_s=database_now_s() + lease_s,
        )
        .returning(WebhookDelivery.lease_token)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(statement).one_or_none()


def _sendable() -> ColumnElement[bool]:
    """Say that a delivery is due, or was being sent by a worker that is lost."""
    now = database_now_s()
    return or_(
        and_(WebhookDelivery.state == DeliveryState.PENDING, WebhookDelivery.due_s <= now),
        and_(WebhookDelivery.state == DeliveryState.SENDING, WebhookDelivery.lease_expires_s < now),
    )


def _finish(delivery: WebhookDelivery, state: DeliveryState) -> None:
    delivery.state = state
    delivery.finished_at = utc_now()


def _disable(webhook: Webhook, reason: str) -> None:
    webhook.enabled = False
    webhook.disabled_reason = reason

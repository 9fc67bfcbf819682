"""Webhooks as clients write and read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.db.tables import Webhook, WebhookDelivery
from app.engine.webhooks.messages import EventType
from app.engine.webhooks.outbox import DeliveryState
from app.kit.fields import EXAMPLE_ID
from simulator.config.base import StrictModel, Switch, custom_error

MAX_URL = 2000
_EXAMPLE: JsonDict = {"url": "https://example.org/driftline", "events": ["job.succeeded", "job.failed"]}


def _check_url(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise custom_error("invalid_url", "a URL has printable ASCII characters only, and no spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise custom_error("invalid_url", f"this is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise custom_error("invalid_url", "a webhook's URL is https://host/path, or http://")
    if parts.username is not None or parts.password is not None:
        raise custom_error("invalid_url", "a URL with a password is not taken: messages are signed instead")
    if parts.fragment:
        raise custom_error("invalid_url", "a fragment (#...) is not sent to a server: leave it out")
    return url


WebhookUrl = Annotated[str, Field(min_length=1, max_length=MAX_URL), AfterValidator(_check_url)]
Events = Annotated[tuple[EventType, ...], Field(min_length=1, max_length=len(EventType))]
Description = Annotated[str, Field(max_length=2000)]


class WebhookCreate(StrictModel):
    """A new webhook."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    url: WebhookUrl = Field(description="URL that messages are posted to.")
    events: Events | None = Field(default=None, description="Events to send; null: all.")
    description: Description | None = Field(default=None, description="Purpose of the webhook.")


class WebhookChange(StrictModel):
    """What to change of a webhook; what is left out stays as it was."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    url: WebhookUrl | None = Field(
        default=None, description="URL that messages are posted to; null: unchanged."
    )
    events: Events | None = Field(default=None, description="Events to send; null: all.")
    description: Description | None = Field(default=None, description="Purpose of the webhook.")
    enabled: Switch | None = Field(default=None, description="Whether messages are sent; null: as it was.")


class WebhookView(BaseModel):
    """A webhook."""

    id: str = Field(examples=[EXAMPLE_ID], description="Id of this webhook, a UUID of version 7.")
    url: str = Field(description="Where messages are sent to.")
    events: list[EventType] | None = Field(description="Events that are sent; null: all.")
    description: str | None = Field(description="What the webhook is for, for people.")
    enabled: bool = Field(description="Whether messages are sent.")
    disabled_reason: str | None = Field(
        description="Why the service disabled the webhook; null if it did not."
    )
    failing_since: datetime | None = Field(description="First failed attempt since the last good one.")
    created_at: datetime = Field(description="When this webhook was made.")

    @classmethod
    def of(cls, row: Webhook) -> WebhookView:
        """Return a webhook as clients see it."""
        return cls.model_validate(row, from_attributes=True)


class WebhookCreated(WebhookView):
    """A new webhook, with its secret."""

    secret: str = Field(description="Signs the messages; shown this once.")


class AttemptView(BaseModel):
    """One attempt at a delivery."""

    at: datetime = Field(description="When the message was sent.")
    status_code: int | None = Field(description="Status of the receiver's answer; null if there was none.")
    latency_ms: float = Field(description="Milliseconds until the server answered.")
    error: str | None = Field(description="What went wrong; null when the server took the message.")


class DeliveryView(BaseModel):
    """A message for a webhook."""

    id: str = Field(description="The message's `webhook-id`, the same at every attempt.")
    type: str = Field(description="Event that the message is about.")
    job: str | None = Field(description="Job that the message is about.")
    state: DeliveryState = Field(description="Whether the message waits, was taken, or was given up.")
    attempts: list[AttemptView] = Field(description="The attempts to send the message, oldest first.")
    next_attempt_at: datetime | None = Field(description="Null unless it waits.")
    created_at: datetime = Field(description="When this delivery was made.")
    finished_at: datetime | None = Field(
        description="When the server took the message or the last attempt failed; null before."
    )
    payload: dict[str, Any] = Field(description="The message, as it is sent.")

    @classmethod
    def of(cls, row: WebhookDelivery) -> DeliveryView:
        """Return a delivery as clients see it."""
        state = DeliveryState(row.state)
        waits = state is DeliveryState.PENDING
        return cls(
            id=row.id,
            type=row.type,
            job=row.job_id,
            state=state,
            attempts=[AttemptView.model_validate(attempt) for attempt in row.attempts],
            next_attempt_at=datetime.fromtimestamp(row.due_s, UTC) if waits else None,
            created_at=row.created_at,
            finished_at=row.finished_at,
            payload=json.loads(row.payload),
        )

"""Signatures of messages (Standard Webhooks, symmetric `v1`)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a new secret, as it is shown to the client."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signatures(secrets_of: Sequence[str], *, message_id: str, timestamp: int, body: str) -> str:
    """Return the value of `webhook-signature`: one signature for each secret.

    Args:
        secrets_of: the webhook's, as `new_secret` returned them.
        message_id: the value of `webhook-id`.
        timestamp: the value of `webhook-timestamp`, in seconds since 1970.
        body: the message's body.
    """
    content = f"{message_id}.{timestamp}.{body}".encode()
    return " ".join(_signature(secret, content) for secret in secrets_of)


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()

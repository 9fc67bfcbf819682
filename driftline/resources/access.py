"""Keys of the service."""

from __future__ import annotations

from typing import Any

from driftline.resources.record import Record


class Whoami(Record):
    """Who a connection is."""

    name: str
    project: str | None
    scopes: list[str]
    expires_at: str | None


class Key(Record):
    """A key; one that was just made or rotated has its secret in `key`."""

    id: str
    name: str
    project: str
    scopes: list[str]
    prefix: str
    old_secrets: list[dict[str, Any]]
    expires_at: str | None
    last_used_at: str | None
    withdrawn_at: str | None

"""Keys, and who has which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from driftline.core.steps import Flow, call, call_json, get, post
from driftline.core.steps import Request as HttpRequest
from driftline.operations.lists import listed


def whoami() -> Flow[Any]:
    """Return the name, project and scopes of the key that this connection has."""
    return (yield from call_json(get("/v1/whoami")))


def keys(*, project: str | None = None, limit: int | None = None) -> Flow[list[Any]]:
    """Return the keys of a project, newest first, with those that were withdrawn. For admins.

    Args:
        project: whose; None is that of the connection's key, `*` is every one's.
        limit: how many at most; None is all.
    """
    return (yield from listed("/v1/keys", limit, {"project": project}))


def add_key(
    name: str, *, project: str, scopes: Sequence[str], expires_at: datetime | str | None = None
) -> Flow[Any]:
    """Make a key and return it with its secret, `key`, which is shown this once. For admins.

    Args:
        name: what it is for.
        project: whose resources it reaches; made with its first key.
        scopes: of `read`, `submit` and `admin`.
        expires_at: when it stops being valid, with an offset from UTC; None is never.
    """
    until = expires_at.isoformat() if isinstance(expires_at, datetime) else expires_at
    body = {"name": name, "project": project, "scopes": list(scopes), "expires_at": until}
    return (yield from call_json(post("/v1/keys", body)))


def withdraw_key(key_id: str) -> Flow[None]:
    """Let a key be valid no more. For admins.

    Raises:
        NotFound: there is no such key.
    """
    yield from call(HttpRequest("DELETE", f"/v1/keys/{key_id}"))


def rotate_key(key_id: str, *, grace_s: float = 0.0) -> Flow[Any]:
    """Give a key another secret and return it with that, `key`, which is shown this once. For admins.

    Args:
        key_id: of the key.
        grace_s: how long the old secret goes on to be valid, in s.

    Raises:
        NotFound: there is no such key.
        Conflict: it was withdrawn.
    """
    return (yield from call_json(post(f"/v1/keys/{key_id}/rotate", {"grace_s": grace_s})))

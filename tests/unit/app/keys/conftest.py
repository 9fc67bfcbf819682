"""Keys in the database of a test, made as `python -m app.keys` makes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from app.db.session import Database
from app.keys.service import KeyService
from app.kit.access import Scope

MakeKey = Callable[..., dict[str, str]]


def new_key(
    database: Database, *scopes: str, project: str = "default", expires_at: datetime | None = None
) -> str:
    """Make a key; return it."""
    with database.transaction() as session:
        wanted = [Scope(scope) for scope in scopes or ("read", "submit")]
        _, token = KeyService(session).add(
            name=f"key of {project}", project=project, scopes=wanted, expires_at=expires_at
        )
    return token.text


def bearer(key: str) -> dict[str, str]:
    """Return the header that sends a key."""
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def make_key(client) -> MakeKey:
    """Make a key in the service's database; return the header that sends it."""

    def make(*scopes: str, **options) -> dict[str, str]:
        services = client.app.state.services
        key = new_key(services.database.all_projects, *scopes, **options)
        services.access.forget()
        return bearer(key)

    return make

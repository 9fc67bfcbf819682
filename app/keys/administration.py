"""What admins do to keys of all projects, over HTTP and on a page; it counts from the next request on."""

from __future__ import annotations

from app.keys.schemas import KeyCreate, KeyCreated, KeyView
from app.keys.service import KeyService
from app.kit.fields import known_id
from app.kit.pagination import PageQuery, cut
from app.kit.transactions import require_schema
from app.services import Services

_LISTING = "keys"


def make(services: Services, wanted: KeyCreate) -> KeyCreated:
    """Make a key, and its project if that is new; return it with its secret."""
    require_schema(services)
    with services.database.all_projects.transaction() as session:
        key, token = KeyService(session).add(
            name=wanted.name, project=wanted.project, scopes=wanted.scopes, expires_at=wanted.expires_at
        )
        made = KeyCreated.with_token(key, token)
    services.access.forget()
    return made


def rotate(services: Services, key_id: str, *, grace_s: float) -> KeyCreated:
    """Give a key another secret and return it; the old one stops after `grace_s`.

    Raises:
        Conflict: the key was withdrawn or has expired.
        NotFound: there is no such key.
    """
    require_schema(services)
    with services.database.all_projects.transaction() as session:
        key, token = KeyService(session).rotate(known_id("key", key_id), grace_s=grace_s)
        made = KeyCreated.with_token(key, token)
    services.access.forget()
    return made


def withdraw(services: Services, key_id: str) -> None:
    """Let a key, and sessions that were begun with it, be valid no more.

    Raises:
        NotFound: there is no such key.
    """
    require_schema(services)
    with services.database.all_projects.transaction() as session:
        KeyService(session).withdraw(known_id("key", key_id))
    services.access.forget()


def listed(services: Services, project: str | None, page: PageQuery) -> tuple[list[KeyView], str | None]:
    """Return a page of the keys of a project, None for all, newest first, and the cursor of the next one."""
    after = page.last_key(_LISTING, (str,))
    require_schema(services)
    with services.database.all_projects.reading() as session:
        service = KeyService(session)
        before_id = None if after is None else str(after[0])
        rows = service.keys.listing(project, before_id=before_id, limit=page.limit + 1)
        rows, next_cursor = cut(rows, page, listing=_LISTING, key=lambda row: (row.id,))
        return [KeyView.of(key) for key in service.shown(rows)], next_cursor

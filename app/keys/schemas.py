"""Keys as admins write and read them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.config import JsonDict

from app.db.types import utc_now
from app.keys.service import LONGEST_GRACE_S, ShownKey
from app.keys.tokens import Token
from app.kit.access import Caller, Scope
from app.kit.fields import Name
from simulator.config.base import StrictModel, custom_error

_EXAMPLE: Final[JsonDict] = {"name": "notebooks of the lab", "project": "lab", "scopes": ["read", "submit"]}

ProjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)]


class KeyCreate(StrictModel):
    """A new key."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name = Field(description="What the key is for, for people.")
    project: ProjectName = Field(
        description="Project whose resources it reaches; made with its first key. Small letters, digits, "
        "dots, hyphens, underscores."
    )
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))] = Field(
        description="`read`: everything that changes nothing. `submit`: uploads, jobs, webhooks. `admin`: "
        "everything, in every project, and keys."
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description="When the key stops being valid, in UTC; null: never."
    )

    @field_validator("expires_at")
    @classmethod
    def _lies_ahead(cls, value: datetime | None) -> datetime | None:
        if value is not None and value <= utc_now():
            raise custom_error("in_the_past", "a key cannot expire before it is made")
        return value


class KeyRotate(StrictModel):
    """How a key gets another secret."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace_s": 3600}]})

    grace_s: float = Field(
        default=0.0,
        ge=0,
        le=LONGEST_GRACE_S,
        description="Seconds for which the old secret goes on to be valid; 0: it stops at once.",
    )


class OldSecret(BaseModel):
    """A secret that a key had before it was rotated."""

    prefix: str = Field(description="The beginning of the old secret.")
    expires_at: datetime | None = Field(description="When it stops being valid.")


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str = Field(description="Identifies the key.")
    name: str = Field(description="What the key is for.")
    project: str = Field(description="Project whose resources it reaches.")
    scopes: list[Scope] = Field(description="What it allows.")
    prefix: str = Field(description="The beginning of its secret, by which it is recognised.")
    old_secrets: list[OldSecret] = Field(description="Secrets from before rotations that are still valid.")
    created_at: datetime = Field(description="When it was made.")
    expires_at: datetime | None = Field(description="When it stops being valid; null: never.")
    last_used_at: datetime | None = Field(description="When it was last used, to a minute; null: never.")
    withdrawn_at: datetime | None = Field(description="When it was withdrawn; null: it was not.")

    @classmethod
    def of(cls, key: ShownKey) -> KeyView:
        """Return the view of a key."""
        row, now = key.row, utc_now()
        *old, newest = key.secrets
        return cls(
            id=row.id,
            name=row.name,
            project=row.project,
            scopes=[Scope(scope) for scope in row.scopes],
            prefix=newest.prefix,
            old_secrets=[
                OldSecret(prefix=one.prefix, expires_at=one.expires_at)
                for one in old
                if one.expires_at is not None and one.expires_at > now
            ],
            created_at=row.created_at,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            withdrawn_at=row.withdrawn_at,
        )


class KeyCreated(KeyView):
    """A key with its secret, which is shown this once."""

    key: str = Field(description="What clients send after `Authorization: Bearer`. It is shown this once.")

    @classmethod
    def with_token(cls, key: ShownKey, token: Token) -> KeyCreated:
        """Return the view of a key whose secret is new."""
        return cls(**KeyView.of(key).model_dump(), key=token.text)


class Whoami(BaseModel):
    """Who sent the request."""

    name: str = Field(description="Name of the key; `no key` on a service that wants none.")
    project: str | None = Field(description="Project whose resources are meant; null: every project's.")
    scopes: list[Scope] = Field(description="What the key allows.")
    key: str | None = Field(description="Id of the key; null where the database has none.")
    prefix: str | None = Field(description="The beginning of the key; null where the database has none.")
    expires_at: datetime | None = Field(description="When the key stops being valid; null: never.")

    @classmethod
    def of(cls, caller: Caller) -> Whoami:
        """Return the view of a caller."""
        return cls(
            name=caller.name,
            project=caller.project,
            scopes=sorted(caller.scopes),
            key=caller.key_id,
            prefix=caller.prefix,
            expires_at=caller.expires_at,
        )

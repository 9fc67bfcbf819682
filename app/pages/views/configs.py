"""The page of configurations: presets and stored ones, their fields, and the difference between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.configs.difference import Change, changes
from app.configs.repository import ConfigRepository
from app.configs.service import presets
from app.kit.fields import not_found
from app.pages.views.fields import FieldGroup, field_groups

_STORED = 200


@dataclass(frozen=True)
class ConfigChoice:
    """A preset or a stored configuration.

    Attributes:
        key: in the page's address: the preset's name or the stored one's id.
        name: for people.
        description: what it describes.
        is_preset: or stored.
        config_hash: of the effective configuration.
    """

    key: str
    name: str
    description: str
    is_preset: bool
    config_hash: str


@dataclass(frozen=True)
class ConfigsPage:
    """What the page shows.

    Attributes:
        choices: all configurations.
        shown: the one whose fields are listed.
        groups: its fields.
        other: the one that it is compared with; None where there is no comparison.
        changes: in which fields `shown` differs from `other`.
    """

    choices: Sequence[ConfigChoice]
    shown: ConfigChoice
    groups: Sequence[FieldGroup]
    other: ConfigChoice | None
    changes: Sequence[Change]


def configs_page(session: Session, show: str | None, against: str | None) -> ConfigsPage:
    """Return the page of configurations; NotFound if one that is asked for does not exist.

    Args:
        session: to find stored configurations in.
        show: the preset's name or the stored configuration's id whose fields are listed.
        against: another one, to compare with.
    """
    choices = [
        ConfigChoice(one.name, one.name, one.description, is_preset=True, config_hash=one.config_hash)
        for one in presets()
    ]
    effective = {one.name: one.effective for one in presets()}
    for row in ConfigRepository(session).listing(before_id=None, limit=_STORED):
        description = row.description or "A stored configuration."
        choices.append(
            ConfigChoice(row.id, row.name, description, is_preset=False, config_hash=row.config_hash)
        )
        effective[row.id] = row.effective
    by_key = {choice.key: choice for choice in choices}
    for key in (show, against):
        if key is not None and key not in by_key:
            raise not_found("configuration", key)
    shown = by_key[show] if show else choices[0]
    other = by_key[against] if against else None
    return ConfigsPage(
        choices=choices,
        shown=shown,
        groups=field_groups(effective[shown.key]),
        other=other,
        changes=[] if other is None else changes(effective[other.key], effective[shown.key]),
    )

"""What a configuration differs in from the one that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy.orm import Session

from app.configs.repository import ConfigRepository
from app.configs.schemas import STORED
from simulator.config import PRESETS, InferenceRPUConfig, effective

_DEFAULTS: Final = "the defaults"
_ABSENT: Final = object()


@dataclass(frozen=True)
class Base:
    """What a configuration is compared with.

    Attributes:
        name: of the preset, of the stored configuration, or `the defaults`.
        effective: it, with all defaults filled in.
        is_named: whether the configuration itself names it; else it is the one that is nearest.
    """

    name: str
    effective: dict[str, Any]
    is_named: bool


@dataclass(frozen=True)
class Change:
    """A field that has another value than in the base.

    Attributes:
        pointer: JSON pointer into the effective configuration.
        before: its value in the base; None where it has no such field.
        after: its value; None where it has none.
    """

    pointer: str
    before: Any
    after: Any


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that is not an object, with its JSON pointer."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    else:
        yield pointer, value


def changes(base: dict[str, Any], other: dict[str, Any]) -> list[Change]:
    """Return the fields in which an effective configuration differs from another."""
    before, after = dict(leaves(base)), dict(leaves(other))
    return [
        Change(pointer, before.get(pointer), after.get(pointer))
        for pointer in dict.fromkeys([*before, *after])
        if before.get(pointer, _ABSENT) != after.get(pointer, _ABSENT)
    ]


def base_of(spec: Any, config: dict[str, Any], session: Session) -> Base:
    """Return what a configuration was made from: what it names, else the preset that it is nearest to.

    Args:
        spec: as it was written.
        config: the effective configuration.
        session: to find a stored configuration in.
    """
    known = presets()
    if isinstance(spec, dict) and spec.get("preset") in known:
        return Base(spec["preset"], known[spec["preset"]], is_named=True)
    if isinstance(spec, dict) and STORED in spec:
        row = ConfigRepository(session).get(str(spec[STORED]))
        if row is not None:
            return Base(row.name, row.effective, is_named=True)
    name = min(known, key=lambda one: len(changes(known[one], config)))
    return Base(name, known[name], is_named=False)


@cache
def presets() -> dict[str, dict[str, Any]]:
    """Return the effective configuration of every preset, and the defaults."""
    named = {name: effective(make()) for name, make in PRESETS.items()}
    return {_DEFAULTS: effective(InferenceRPUConfig()), **named}

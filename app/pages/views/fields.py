"""The fields of an RPU configuration with their meaning, from the published schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from app.configs.difference import leaves
from simulator.config import json_schema

_REFERENCE: Final = "#/$defs/"
_KIND: Final = "Which kind it is; the fields beside it are those of the kind."


@dataclass(frozen=True)
class FieldRow:
    """A field of a configuration.

    Attributes:
        pointer: into the effective configuration.
        value: what it has there.
        meaning: with its unit.
        choices: its permitted values, where they are few.
    """

    pointer: str
    value: Any
    meaning: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class FieldGroup:
    """The fields of one part of a configuration."""

    name: str
    meaning: str
    rows: list[FieldRow]


def field_groups(effective: Mapping[str, Any]) -> list[FieldGroup]:
    """Return every field of an effective configuration, part by part."""
    schema = json_schema()
    groups = []
    for name, value in effective.items():
        part = schema["properties"].get(name, {})
        rows = [
            FieldRow(f"/{name}{pointer}", leaf, *_told(part, value, pointer))
            for pointer, leaf in leaves(value)
        ]
        groups.append(FieldGroup(name, str(part.get("description", "")), rows))
    return groups


def _told(schema: Mapping[str, Any], value: Any, pointer: str) -> tuple[str, tuple[str, ...]]:
    """Return the meaning of a leaf and its permitted values."""
    node = schema
    here = value
    for name in pointer.split("/")[1:]:
        found = _properties(node, here).get(name)
        if found is None:
            return "", ()
        node = found
        here = here.get(name) if isinstance(here, Mapping) else None
    choices = [str(one) for part in _members(node) for one in part.get("enum", ())]
    return str(node.get("description") or _KIND), tuple(choices)


def _properties(node: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Return the properties of an object, of that member of a union which the value is."""
    members = [one for one in _members(node) if "properties" in one]
    if len(members) > 1 and isinstance(value, Mapping):
        fitting = [one for one in members if _type_of(one) == value.get("type")]
        members = fitting or members
    found: Mapping[str, Any] = members[0]["properties"] if members else {}
    return found


def _type_of(member: Mapping[str, Any]) -> Any:
    kind = member["properties"].get("type", {})
    return kind.get("const", kind.get("default"))


def _members(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what a schema may be, references followed."""
    reference = node.get("$ref")
    if reference is not None:
        yield from _members(_definitions()[reference.removeprefix(_REFERENCE)])
        return
    alternatives = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    if not alternatives:
        yield node
    for one in alternatives:
        yield from _members(one)


@cache
def _definitions() -> dict[str, Any]:
    found: dict[str, Any] = json_schema()["$defs"]
    return found

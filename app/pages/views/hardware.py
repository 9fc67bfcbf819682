"""A job's hardware in a few words: the preset, and how much differs from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from app.configs.difference import leaves
from app.configs.schemas import STORED
from app.pages.words import field, plural, value

_SHOWN: Final = 2


@dataclass(frozen=True)
class Hardware:
    """A configuration as lists show it.

    Attributes:
        name: of the preset; or that it is stored, or written in the job.
        changes: what is replaced in it, in words; empty if nothing is.
        in_full: all that is replaced.
    """

    name: str
    changes: str
    in_full: str


def hardware(spec: dict[str, Any]) -> Hardware:
    """Return the hardware of a job's specification."""
    written = spec.get("rpu_config") or {}
    replaced = list(_replaced(written))
    if "preset" in written:
        name = str(written["preset"])
    else:
        name = "a stored configuration" if STORED in written else "a configuration of its own"
    if name.startswith("a configuration"):
        return Hardware(name, "", "")
    shown = ", ".join(replaced[:_SHOWN])
    more = f" and {plural(len(replaced) - _SHOWN, 'more field')}" if len(replaced) > _SHOWN else ""
    return Hardware(name, shown + more, ", ".join(replaced))


def _replaced(written: dict[str, Any]) -> Iterator[str]:
    for pointer, replacement in leaves(written.get("overrides") or {}):
        if pointer:
            yield f"{field(pointer)} = {value(replacement)}"

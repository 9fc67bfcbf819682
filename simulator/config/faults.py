"""What is said about a configuration besides its validation errors, and where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator.config.base import StrictModel, TypedConfig


@dataclass(frozen=True)
class Fault:
    """Something that cannot be done as configured.

    Attributes:
        pointer: JSON pointer into the configuration.
        code: a stable name of the kind of fault.
        message: what is wrong and what to do.
        hint: what to do, where the message does not say it.
    """

    pointer: str
    code: str
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class ConfigWarning:
    """Something that can be done as configured, but hardly is what was meant; fields as in `Fault`."""

    pointer: str
    code: str
    message: str


def pointer_to(dotted: str) -> str:
    """Return the JSON pointer of a dotted field: "forward.ir_drop" gives "/forward/ir_drop"."""
    return "/" + dotted.replace(".", "/")


def leaf_fields(model: StrictModel, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, value, default) of every field; a noise model or compensation is one value."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, StrictModel) and not isinstance(value, TypedConfig):
            yield from leaf_fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.get_default(call_default_factory=True)

"""What a state dict leaves out of a tile, the programmed chip, and how that moves to another device."""

from __future__ import annotations

import warnings
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

_WAS_PROGRAMMED = "was_programmed"


class NotProgrammedWarning(UserWarning):
    """A state dict was loaded that came from a programmed model, or into one: the chip is not part of it."""


def note_programming(
    tile: nn.Module, _state: dict[str, Any], _prefix: str, local_metadata: dict[str, Any]
) -> None:
    """Leave a note beside a state dict (in torch's metadata) that its model was programmed."""
    local_metadata[_WAS_PROGRAMMED] = getattr(tile, "chip", None) is not None


def came_from_a_chip(local_metadata: dict[str, Any]) -> bool:
    """Return whether a state dict has the note of `note_programming`."""
    return bool(local_metadata.get(_WAS_PROGRAMMED))


def warn_of_a_missing_chip() -> None:
    """Say that a state dict and a programmed chip are two things."""
    warnings.warn(
        "a state dict holds weights, scales and input ranges, and no programmed chip: the model "
        "computes with its clean weights until program_analog_weights programs one",
        NotProgrammedWarning,
        stacklevel=3,
    )


def map_tensors(value: Any, fn: Callable[[Tensor], Tensor]) -> Any:
    """Apply `fn` to every tensor in a value: itself, or nested in dataclasses, dicts and lists."""
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, dict):
        return {key: map_tensors(item, fn) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(item, fn) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {item.name: map_tensors(getattr(value, item.name), fn) for item in fields(value)}
        return replace(value, **changes)
    return value

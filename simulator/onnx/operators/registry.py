"""Which function computes an operator of an opset, and how it takes its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])
Number = int | float


@dataclass(frozen=True)
class Operator:
    """An operator's function for a range of opsets.

    Attributes:
        function: takes the inputs in order (None for one that is left out) and the attributes by name.
        since: first opset that the function is right for.
        until: last opset that the function is right for.
        numbers: positions of inputs that the function takes as a list of Python numbers, not as a tensor:
            shapes, axes, sizes.
        ignored: attributes that make no difference here.
        fixed: keyword arguments that make one function serve several operators.
    """

    function: Callable[..., Any]
    since: int
    until: int
    numbers: frozenset[int]
    ignored: frozenset[str]
    fixed: Mapping[str, str]

    @property
    def attributes(self) -> frozenset[str]:
        """Names of the keyword arguments of the function."""
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except ValueError:  # torch's own functions have no signature: they are registered without attributes
            return frozenset()
        return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


_LAST_OPSET = 10_000
_operators: dict[str, list[Operator]] = {}


def operator(
    name: str,
    *,
    since: int = 7,
    until: int = _LAST_OPSET,
    numbers: tuple[int, ...] = (),
    ignored: tuple[str, ...] = (),
    fixed: Mapping[str, str] | None = None,
) -> Callable[[Function], Function]:
    """Register the decorated function for an operator; attributes are its keyword-only arguments."""

    def register(function: Function) -> Function:
        entry = Operator(function, since, until, frozenset(numbers), frozenset(ignored), fixed or {})
        _operators.setdefault(name, []).append(entry)
        return function

    return register


def lookup(name: str, opset: int) -> Operator | None:
    """Return the operator's entry for an opset, None if there is none."""
    return next((entry for entry in _operators.get(name, []) if entry.since <= opset <= entry.until), None)


def registered() -> dict[str, list[Operator]]:
    """Return all entries by the operator's name."""
    return {name: list(entries) for name, entries in sorted(_operators.items())}


def numbers_of(value: Tensor | list[Number]) -> list[Number]:
    """Return the numbers of a tensor of any shape as a list; a list stays as it is."""
    if isinstance(value, Tensor):
        numbers: list[Number] = value.reshape(-1).tolist()
        return numbers
    return value

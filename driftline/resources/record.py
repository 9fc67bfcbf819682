"""Records: JSON objects whose fields can be read as attributes, too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar


class Record(Mapping[str, Any]):
    """A JSON object as a read-only mapping: `job["state"]` and `job.state` both work.

    Subclasses name their fields with types. `_parts` says which fields become something else than JSON when
    they are read as attributes, such as a record of their own.
    """

    _parts: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    _data: dict[str, Any]
    _transport: Any

    def __init__(self, data: Mapping[str, Any], transport: Any = None) -> None:
        object.__setattr__(self, "_data", dict(data))
        object.__setattr__(self, "_transport", transport)

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    if not TYPE_CHECKING:  # type checkers know the fields that subclasses name, and no others

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or name not in self._data:
                near = get_close_matches(name, [] if name.startswith("_") else self._data, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise AttributeError(f"a {type(self).__name__} has no {name!r}{hint}")
            value = self._data[name]
            read = self._parts.get(name)
            return value if read is None or value is None else read(value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} is read-only: {name!r} cannot be set")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._data]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {' '.join(self._told())}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._data,)

    def to_dict(self) -> dict[str, Any]:
        """Return a copy as plain dicts and lists."""
        return copy.deepcopy(self._data)

    def _told(self) -> list[str]:
        """Return what `repr` says besides the class."""
        return [f"{key}={value!r}" for key, value in self._data.items() if _is_short(value)][:6]


def each(kind: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    """Return what reads a list, item by item."""
    return lambda values: [kind(value) for value in values]


def _is_short(value: Any) -> bool:
    return value is None or (isinstance(value, bool | int | float | str) and len(str(value)) <= 60)

"""pydantic's errors as faults: JSON pointers into the input as the client wrote it, stable codes, hints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.kit.problems import MAX_FAULTS, Fault, more_faults, shortened
from simulator.config.base import Unknown, nearest

_PARAMETER_KINDS = frozenset({"query", "path", "header", "cookie"})
_CODES = {
    "extra_forbidden": "unknown_field",
    "value_error": "invalid_value",
    "assertion_error": "invalid_value",
}
_QUOTED = re.compile(r"'([^']*)'")
_CHOICES = frozenset({"enum", "literal_error"})
_ADDS_A_KEY = frozenset({"missing", "missing_argument"})


def pointer(parts: Iterable[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path of keys and indices."""
    return "".join("/" + shortened(str(part), 100).replace("~", "~0").replace("/", "~1") for part in parts)


def from_pydantic(errors: Iterable[Any], value: Any, prefix: Sequence[str | int] = ()) -> list[Fault]:
    """Return pydantic's errors as faults.

    Args:
        errors: the errors of a ValidationError, with `loc` relative to `value`.
        value: what was validated, in which the locations are found again: pydantic's locations also name
            the chosen member of a union, which the client never wrote.
        prefix: where in the body the value stands.
    """
    faults = []
    reported, rest = _first(errors)
    for error in reported:
        path = _written_path(error["loc"], value, adds_key=error["type"] in _ADDS_A_KEY)
        faults.append(_fault(pointer([*prefix, *path]), error))
    return _without_repetition(faults + rest)


def from_request_validation(errors: Iterable[Any], body: Any) -> list[Fault]:
    """Return FastAPI's errors of a whole request, parameters and body, as faults."""
    faults: list[Fault] = []
    reported, uncounted = _first(errors)
    for error in reported:
        where, *rest = error["loc"] or ("body",)
        if where == "body":
            faults += from_pydantic([{**error, "loc": rest}], body)
        elif where in _PARAMETER_KINDS:
            faults.append(_fault(pointer([where, *rest[:1]]), error))
        else:
            faults.append(_fault(pointer(error["loc"]), error))
    return _without_repetition(faults + uncounted)


def _first(errors: Iterable[Any]) -> tuple[list[Any], list[Fault]]:
    """Return the errors that are reported one by one, and a fault that counts the rest, if there is one."""
    found = list(errors)
    return found[:MAX_FAULTS], more_faults(len(found) - MAX_FAULTS)


def unknown_name(where: str, code: str, said: Unknown) -> Fault:
    """Return the fault of an unknown name."""
    return Fault(pointer=where, code=code, message=shortened(said.message), hint=shortened(said.hint))


def _written_path(location: Sequence[str | int], value: Any, *, adds_key: bool) -> list[str | int]:
    path: list[str | int] = []
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(value, dict):
            if part in value:
                value = value[part]
            elif not (adds_key and is_last):
                continue  # a union's tag
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue  # a scalar's union member
        path.append(part)
    return path


def _fault(where: str, error: Any) -> Fault:
    context = error.get("ctx") or {}
    if "hint" in context:
        return Fault(
            pointer=where,
            code=error["type"],
            message=shortened(context["message"]),
            hint=shortened(context["hint"]),
        )
    remedy = _remedy(error["type"], error["input"], where)
    if remedy is not None:
        message, hint = remedy
        return Fault(pointer=where, code=_CODES.get(error["type"], error["type"]), message=message, hint=hint)
    message = _of_length(error["type"], context) or (
        error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    )
    guess = None
    if error["type"] in _CHOICES and isinstance(error["input"], str):
        guess = nearest(error["input"][:100], _QUOTED.findall(error["ctx"]["expected"]))
    return Fault(
        pointer=where,
        code=_CODES.get(error["type"], error["type"]),
        message=shortened(message),
        hint=f"did you mean {guess!r}?" if guess else None,
    )


_BOUNDS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}


def _of_length(kind: str, context: Mapping[str, Any]) -> str | None:
    """Say how many items are wanted, for faults of a list's or an object's length."""
    if kind not in _BOUNDS:
        return None
    words, bound = _BOUNDS[kind]
    what = "field" if context.get("field_type") == "Dictionary" else "item"
    has = context.get("actual_length")
    wanted = f"this has to have {words} {context[bound]} {what}{'' if context[bound] == 1 else 's'}"
    return wanted if has is None else f"{wanted}, not {has}"


_LISTS = frozenset({"tuple_type", "list_type", "set_type"})
_WHOLE = frozenset({"int_type", "int_parsing", "int_from_float"})
_REAL = frozenset({"float_type", "float_parsing"})
_SECONDS = {
    "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600,
    "d": 86400, "day": 86400, "w": 604800, "week": 604800, "month": 2592000, "y": 31536000, "year": 31536000,
}  # fmt: skip
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)?\s*([a-z]+?)s?\s*", re.IGNORECASE)


def _remedy(kind: str, value: Any, where: str) -> tuple[str, str] | None:
    """Return message and hint for a value of the wrong kind; None if there is no remedy."""
    if kind in _LISTS:
        hint = "write it as a list" if isinstance(value, dict) else f"write [{_shown(value)}]"
        return "this has to be a list", hint
    if kind not in _WHOLE | _REAL:
        return None
    message = f"this has to be a {'whole ' if kind in _WHOLE else ''}number"
    if value is None:
        hint = "leave the field out to have its default; null has no meaning here"
        if where.endswith("/seed"):
            hint = "leave it out for 0, or choose a number: every job has a seed, so that it can be repeated"
        return message, hint
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_SHOWN:
        return message, f"write {int(value)}"
    if not isinstance(value, str):
        return None
    number = _number(value)
    if number is not None:
        return message, f"write {number}, without quotes"
    found = _DURATION.fullmatch(value)
    seconds = _SECONDS.get(found[2].lower()) if found else None
    if found is not None and seconds is not None:
        return f"{message}, in seconds", f"write {float(found[1] or 1) * seconds:g}"
    return None


_LARGEST_SHOWN = 1e15


def _number(text: str) -> str | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not abs(value) < _LARGEST_SHOWN:
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def _shown(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), 60)


def _without_repetition(faults: Iterable[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))

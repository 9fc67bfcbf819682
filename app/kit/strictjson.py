"""JSON as RFC 8259 and I-JSON (RFC 7493) define it, without the extensions of Python's reader.

Refused: other encodings than UTF-8, a byte order mark, NaN and Infinity, numbers beyond a double or a 64-bit
integer, lone surrogates, NUL, the same key twice, deep nesting, endless lists. All faults are found at once,
with pointers.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.kit.faults import pointer
from app.kit.problems import Fault, InvalidJson, shortened

MAX_DEPTH = 64
MAX_VALUES = 20_000  # what is checked after this is slower than reading; no sensible body comes near
_MAX_INTEGER = 2**63 - 1
_MAX_INTEGER_DIGITS = 19
_UTF8_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class _Refused:
    """Stands in the parsed value where a literal was refused, until the walk finds its place."""

    code: str
    literal: str


class _Object(dict[str, Any]):
    """An object that remembers the keys that its text has twice."""

    repeated: tuple[str, ...] = ()


def loads(body: bytes) -> Any:
    """Return the JSON value of a request's body.

    Raises:
        InvalidJson: with every fault and its pointer.
    """
    text = _decode(body)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _refusal("syntax", f"{error.msg} at {where}", hint=_hint(text[error.pos :])) from error
    except RecursionError as error:
        raise _refusal(*_too_deep()) from error
    faults = list(_faults(value))
    if faults:
        raise InvalidJson("the body is not strict JSON", errors=faults)
    return value


def _hint(rest: str) -> str:
    """Return what to do about text that is not JSON, from the first character that is not."""
    if rest.startswith(("'", "True", "False", "None")):
        return (
            "this is how Python writes it: JSON has double quotes, true, false and null;"
            " send json.dumps(body), or requests.post(url, json=body)"
        )
    if rest.startswith(("}", "]")):
        return "remove the comma before it"
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments: remove them"
    return "check the JSON with a parser"


def _decode(body: bytes) -> str:
    if body.startswith(_UTF8_BOM):
        raise _refusal(
            "byte_order_mark", "the body starts with a byte order mark", hint="save it as UTF-8 without BOM"
        )
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refusal(
            "not_utf8", f"byte {error.start} is not UTF-8", hint="send JSON encoded as UTF-8"
        ) from error


def _refusal(code: str, message: str, hint: str | None = None) -> InvalidJson:
    fault = Fault(pointer="", code=code, message=message, hint=hint)
    return InvalidJson(f"the body is not strict JSON: {message}", errors=[fault])


def _too_deep() -> tuple[str, str]:
    return "too_deep", f"the body is nested deeper than {MAX_DEPTH} levels"


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object(pairs)
    if len(result) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        result.repeated = tuple(key for key, count in counts.items() if count > 1)
    return result


def _integer(literal: str) -> int | _Refused:
    # Judged by length first: converting thousands of digits is slow, and Python refuses beyond 4300.
    if len(literal.lstrip("-")) > _MAX_INTEGER_DIGITS or abs(int(literal)) > _MAX_INTEGER:
        return _Refused("integer_too_large", literal)
    return int(literal)


def _float(literal: str) -> float | _Refused:
    number = float(literal)
    return number if math.isfinite(number) else _Refused("number_too_large", literal)


def _constant(literal: str) -> _Refused:
    return _Refused("not_a_number", literal)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_MESSAGES = {
    "integer_too_large": ("does not fit a 64-bit integer", "write a smaller number"),
    "number_too_large": ("does not fit a double", "write a smaller number"),
    "not_a_number": ("is not a JSON number", "leave the field out, or use null where the schema allows it"),
}


def _faults(root: Any) -> Iterator[Fault]:
    for path, value in _values(root):
        if isinstance(value, _Refused):
            message, hint = _MESSAGES[value.code]
            yield Fault(
                pointer=pointer(path),
                code=value.code,
                message=f"{shortened(value.literal, 40)} {message}",
                hint=hint,
            )
        elif isinstance(value, str):
            yield from _text_faults(path, value, "the text")
        elif isinstance(value, (dict, list)) and len(path) == MAX_DEPTH:
            code, message = _too_deep()
            yield Fault(pointer=pointer(path[:4]), code=code, message=message)
        elif isinstance(value, _Object):
            for key in value:
                yield from _text_faults((*path, key), key, "the key")
            for key in value.repeated:
                yield Fault(
                    pointer=pointer((*path, key)),
                    code="duplicate_key",
                    message="the object has this key more than once",
                    hint="keep one of the values",
                )


def _values(root: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield every value with its path, in the order of the text, down to the depth limit."""
    count = 0
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while pending:
        path, value = pending.pop()
        yield path, value
        if not isinstance(value, (dict, list)) or len(path) == MAX_DEPTH:
            continue
        count += len(value)
        if count > MAX_VALUES:
            raise _refusal(
                "too_many_values", f"the body holds more than {MAX_VALUES} values", hint="send a smaller body"
            )
        children = list(value.items() if isinstance(value, dict) else enumerate(value))
        pending.extend(((*path, key), child) for key, child in reversed(children))


def text_faults(root: Any, *, most_characters: int) -> Iterator[Fault]:
    """Yield the faults of the texts, keys included, in a value that a program wrote."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            yield from _text_faults(path, value, "the text")
            if len(value) > most_characters:
                message = f"the text has {len(value)} characters, more than {most_characters}"
                yield Fault(pointer=pointer(path), code="too_long", message=message)
        elif isinstance(value, dict):
            pending.extend(((*path, key), part) for key, part in value.items())
            pending.extend(((*path, key), key) for key in value)
        elif isinstance(value, list):
            pending.extend(((*path, index), part) for index, part in enumerate(value))


def _text_faults(path: tuple[str | int, ...], text: str, what: str) -> Iterator[Fault]:
    if "\0" in text:
        yield Fault(pointer=pointer(path), code="nul_character", message=f"{what} holds a NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        yield Fault(
            pointer=pointer(path),
            code="lone_surrogate",
            message=f"{what} holds half of a surrogate pair",
            hint="write the character itself in UTF-8",
        )

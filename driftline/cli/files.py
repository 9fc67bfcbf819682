"""Files of commands: JSON that they read, values set in it by pointers, formats of what they write."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from driftline.errors import InvalidInput


def format_of(output: Path | None) -> str | None:
    """Return the format that a file's ending names, such as `csv`; None without a file."""
    return None if output is None else output.suffix.lower().removeprefix(".")


def read_json(name: str) -> dict[str, Any]:
    """Return the JSON object in a file; `-` is standard input.

    Raises:
        InvalidInput: there is no such file, or it holds no JSON object.
    """
    where = "standard input" if name == "-" else name
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        value = json.loads(text)
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {name!r}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{where} is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{where} is not JSON: {error}") from None
    except RecursionError:
        raise InvalidInput(f"{where} is nested too deeply") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} holds a {type(value).__name__}, not an object in braces")
    return value


def set_all(document: dict[str, Any], settings: Iterable[str]) -> None:
    """Set values in a document, in order; objects on the way that are missing are made.

    Args:
        document: is changed.
        settings: each a JSON pointer, `=`, and a value in JSON; what is not JSON is a text.

    Raises:
        InvalidInput: a setting has no `=`, or its pointer leads through something that has no parts.
    """
    for setting in settings:
        pointer, equals, text = setting.partition("=")
        if not equals or not pointer.startswith("/"):
            raise InvalidInput(f"--set {setting}: write a pointer and a value, such as /evaluate/repeats=25")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        _set(document, pointer, value)


def _set(document: dict[str, Any], pointer: str, value: Any) -> None:
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    place: Any = document
    for part in path:
        if isinstance(place, dict) and place.get(part) is None:
            place[part] = {}
        place = place[_key(place, part, pointer)]
    place[_key(place, last, pointer, new=True)] = value


def _key(place: Any, part: str, pointer: str, *, new: bool = False) -> Any:
    """Return what a part of a pointer means in an object or a list."""
    if isinstance(place, dict) and (new or part in place):
        return part
    if isinstance(place, list) and part.isdigit() and int(part) < len(place):
        return int(part)
    raise InvalidInput(f"--set {pointer}: nothing can be set at {part!r}")

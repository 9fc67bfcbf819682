"""Values as JSON takes them: what people write in notebooks holds arrays, records and paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from driftline.errors import InvalidInput


def plain(value: Any, where: str = "") -> Any:
    """Return a value made of dicts, lists, texts and numbers alone.

    Mappings become dicts, iterables become lists, and NumPy's numbers become Python's.

    Args:
        value: what somebody wrote.
        where: JSON pointer of the value, for messages.

    Raises:
        InvalidInput: something in it has no JSON form; the message says where it stands.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{where or 'the value'}: {value} has no form in JSON; write a finite number")
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one, f"{where}/{key}") for key, one in value.items()}
    for convert in ("tolist", "item"):  # NumPy's and torch's arrays and numbers
        if hasattr(value, convert):
            return plain(getattr(value, convert)(), where)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return [plain(one, f"{where}/{index}") for index, one in enumerate(value)]
    raise InvalidInput(f"{where or 'the value'}: {type(value).__name__} has no form in JSON")

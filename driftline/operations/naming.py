"""How a job, a model or a dataset is named: by its id, or by the record itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from driftline.errors import InvalidInput

Named: TypeAlias = str | Mapping[str, Any]

BUILTIN = "builtin:"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def is_id(text: str) -> bool:
    """Tell whether a text is an id of the service."""
    return _ID.fullmatch(text) is not None


def id_of(thing: Named) -> str:
    """Return the id of what is named.

    Raises:
        InvalidInput: it is neither an id nor a record that has one.
    """
    found = thing.get("id") if isinstance(thing, Mapping) else thing
    if not isinstance(found, str) or not found:
        raise InvalidInput(f"{thing!r} is neither an id nor something that has one")
    return found


def path_of(collection: str, thing: Named, *parts: str) -> str:
    """Return the path of a thing in a collection, or of a part of it."""
    return "/".join(["/v1", collection, *(quote(part, safe=":") for part in (id_of(thing), *parts))])

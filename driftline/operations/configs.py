"""RPU configurations: presets, checking."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from driftline.core.steps import Flow, call_json, get, post
from driftline.errors import UnknownName


def presets() -> Flow[list[Any]]:
    """Return the named configurations."""
    answer = yield from call_json(get("/v1/rpu-configs/presets"))
    return list(answer["items"])


def preset(name: str) -> Flow[Any]:
    """Return a named configuration, every field filled in.

    Raises:
        UnknownName: there is none of this name; the message has the nearest ones.
    """
    found = yield from presets()
    by_name = {one["name"]: one for one in found}
    if name not in by_name:
        near = get_close_matches(name, by_name, n=3) or sorted(by_name)
        raise UnknownName(f"there is no preset {name!r}; there is {', '.join(near)}")
    return by_name[name]


def validate_config(config: Mapping[str, Any]) -> Flow[Any]:
    """Check an RPU configuration and return what the service understands by it.

    Raises:
        InvalidRequest: it has faults; all of them are told.
    """
    return (yield from call_json(post("/v1/rpu-configs/validate", config).harmless()))


def workers() -> Flow[list[Any]]:
    """Return the workers and what they do."""
    answer = yield from call_json(get("/v1/workers"))
    return list(answer["items"])

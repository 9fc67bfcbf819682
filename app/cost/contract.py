"""Hardware in the OpenAPI document: by the profile's own schema, where a request has one."""

from __future__ import annotations

import json
from typing import Any, Final

from simulator.cost import profile_names, profile_schema

_COMPONENTS: Final = "#/components/schemas/"
_REQUESTS: Final = (("JobCreate", True), ("CostCreate", False))  # with a field `hardware`; may it be null
_REFERENCE: Final[dict[str, Any]] = {
    "title": "ProfileReference",
    "description": "A hardware profile that ships, in part replaced.",
    "type": "object",
    "required": ["profile"],
    "additionalProperties": False,
    "properties": {
        "profile": {
            "type": "string",
            "description": "Name of the profile; `/v1/hardware-profiles` lists them.",
            "enum": profile_names(),
        },
        "overrides": {
            "description": "Fields to replace in it; null takes a component away.",
            "anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}],
        },
    },
}


def refine(document: dict[str, Any]) -> None:
    """Let the document say what hardware in a request may be."""
    schemas = document["components"]["schemas"]
    whole = json.loads(json.dumps(profile_schema()).replace('"#/$defs/', f'"{_COMPONENTS}'))
    definitions = whole.pop("$defs")
    whole.pop("$schema")
    for name, schema in {**definitions, "HardwareProfile": whole, "ProfileReference": _REFERENCE}.items():
        schemas.setdefault(name, schema)
    for owner, may_be_null in _REQUESTS:
        described = schemas[owner]["properties"]["hardware"]
        kinds: list[dict[str, Any]] = [
            {"$ref": _COMPONENTS + one} for one in ("ProfileReference", "HardwareProfile")
        ]
        schemas[owner]["properties"]["hardware"] = {
            "title": described["title"],
            "description": described["description"],
            "anyOf": [*kinds, *([{"type": "null"}] if may_be_null else [])],
        }

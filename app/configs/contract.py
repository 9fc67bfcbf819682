"""RPU configurations in the OpenAPI document: by their own schema, where a request has one."""

from __future__ import annotations

import json
from typing import Any, Final

from simulator.config import json_schema

_COMPONENTS: Final = "#/components/schemas/"
# Requests that hold a configuration: schema, property, and whether it may refer to a stored one.
_REQUESTS: Final = (("JobCreate", "rpu_config", True), ("ConfigCreate", "config", False))
_PRESET: Final[dict[str, Any]] = {
    "title": "PresetReference",
    "description": "A preset, in part replaced.",
    "type": "object",
    "required": ["preset"],
    "additionalProperties": False,
    "properties": {
        "preset": {
            "type": "string",
            "description": "Name of the preset; `/v1/rpu-configs/presets` lists them.",
        },
        "overrides": {
            "description": "Fields to replace in it.",
            "anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}],
        },
    },
}
_STORED: Final[dict[str, Any]] = {
    "title": "StoredReference",
    "description": "A stored configuration, in part replaced.",
    "type": "object",
    "required": ["stored"],
    "additionalProperties": False,
    "properties": {
        "stored": {"type": "string", "description": "Id of the stored configuration."},
        "overrides": _PRESET["properties"]["overrides"],
    },
}


def refine(document: dict[str, Any]) -> None:
    """Let the document say what a configuration in a request may be."""
    schemas = document["components"]["schemas"]
    whole = json.loads(json.dumps(json_schema()).replace('"#/$defs/', f'"{_COMPONENTS}'))
    definitions = whole.pop("$defs")
    whole.pop("$schema")
    for name, schema in {**definitions, "InferenceRPUConfig": whole, "PresetReference": _PRESET}.items():
        for field in schema.get("properties", {}).values():
            field.setdefault("description", "Which kind it is; the other fields belong to this kind.")
        schemas.setdefault(name, schema)
    schemas.setdefault("StoredReference", _STORED)
    for owner, name, may_be_stored in _REQUESTS:
        kinds = ["InferenceRPUConfig", "PresetReference", *(["StoredReference"] if may_be_stored else [])]
        described = schemas[owner]["properties"][name]
        schemas[owner]["properties"][name] = {
            "title": described["title"],
            "description": described["description"],
            "anyOf": [{"$ref": _COMPONENTS + kind} for kind in kinds],
        }

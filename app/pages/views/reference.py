"""The API's reference, made from the OpenAPI document: it needs no script and no other host."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_REFERENCE: Final = "#/components/schemas/"
_SAMPLE_URL: Final = "$api"


@dataclass(frozen=True)
class ParameterRow:
    """A parameter of an operation, or a property of a schema."""

    name: str
    place: str
    kind: str
    schema: str | None
    is_required: bool
    meaning: str
    default: str | None


@dataclass(frozen=True)
class AnswerRow:
    """What an operation may answer."""

    status: str
    meaning: str
    schema: str | None
    media_types: Sequence[str]


@dataclass(frozen=True)
class Operation:
    """What one method does on one path."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[ParameterRow]
    body_schema: str | None
    body_types: Sequence[str]
    body_example: str | None
    answers: Sequence[AnswerRow]
    curl: str


@dataclass(frozen=True)
class Group:
    """The operations of a resource."""

    name: str
    description: str
    operations: Sequence[Operation]


@dataclass(frozen=True)
class Schema:
    """A named schema."""

    name: str
    description: str
    rows: Sequence[ParameterRow]
    choices: Sequence[str]


@dataclass(frozen=True)
class Reference:
    """All of the API."""

    title: str
    version: str
    description: str
    groups: Sequence[Group]
    schemas: Sequence[Schema]


def reference(document: Mapping[str, Any]) -> Reference:
    """Return the reference of an OpenAPI document: groups in the order of its tags, paths in theirs."""
    about = {tag["name"]: tag.get("description", "") for tag in document.get("tags", [])}
    operations: dict[str, list[Operation]] = {name: [] for name in about}
    schemas = document["components"]["schemas"]
    for path, methods in sorted(document["paths"].items()):
        for method, found in methods.items():
            tag = (found.get("tags") or ["service"])[0]
            operations.setdefault(tag, []).append(_operation(method, path, found, schemas))
    return Reference(
        title=document["info"]["title"],
        version=document["info"]["version"],
        description=document["info"].get("description", "").strip(),
        groups=[Group(name, about.get(name, ""), found) for name, found in operations.items() if found],
        schemas=[_schema(name, one) for name, one in sorted(schemas.items())],
    )


def _operation(method: str, path: str, found: Mapping[str, Any], schemas: Mapping[str, Any]) -> Operation:
    content = found.get("requestBody", {}).get("content", {})
    body_schema = _name(content.get("application/json", {}).get("schema", {}))
    example = _example(content, schemas.get(body_schema or "", {}))
    return Operation(
        id=found["operationId"],
        method=method.upper(),
        path=path,
        summary=found.get("summary", ""),
        description=found.get("description", "").strip(),
        parameters=[
            _parameter(one["name"], one["in"], one.get("schema", {}), one)
            for one in found.get("parameters", [])
        ],
        body_schema=body_schema,
        body_types=list(content),
        body_example=example,
        answers=list(_answers(found["responses"])),
        curl=_curl(method, path, content, example),
    )


def _answers(responses: Mapping[str, Any]) -> Iterator[AnswerRow]:
    for status, answer in sorted(responses.items()):
        content = answer.get("content", {})
        schema = next((_name(one["schema"]) for one in content.values() if "schema" in one), None)
        yield AnswerRow(status, answer.get("description", ""), schema, list(content))


def _example(content: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    body = content.get("application/json", {})
    examples = [one.get("value") for one in body.get("examples", {}).values()] + schema.get("examples", [])
    found = body.get("example", examples[0] if examples else None)
    return None if found is None else json.dumps(found, indent=2, ensure_ascii=False)


def _curl(method: str, path: str, content: Mapping[str, Any], example: str | None) -> str:
    words = ["curl"] + ([] if method == "get" else ["-X", method.upper()])
    words.append(f'"{_SAMPLE_URL}{path}"')
    if "application/json" in content:
        words += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(example or '{...}')}"]
    elif "application/octet-stream" in content:
        words += ["-H 'Content-Type: application/octet-stream'", "--data-binary @FILE"]
    return " ".join(words)


def _schema(name: str, schema: Mapping[str, Any]) -> Schema:
    required = schema.get("required", ())
    rows = [
        _parameter(one, "", part, {"required": one in required, **part})
        for one, part in schema.get("properties", {}).items()
    ]
    choices = [str(one) for one in schema.get("enum", ())]
    return Schema(name, schema.get("description", "").strip(), rows, choices)


def _parameter(name: str, place: str, schema: Mapping[str, Any], found: Mapping[str, Any]) -> ParameterRow:
    default = schema.get("default")
    return ParameterRow(
        name=name,
        place=place,
        kind=_kind(schema),
        schema=_name(schema),
        is_required=bool(found.get("required")),
        meaning=str(found.get("description") or schema.get("description") or ""),
        default=None if default is None else json.dumps(default),
    )


def _name(schema: Mapping[str, Any]) -> str | None:
    """Return the name of the schema that a schema is, or is a list of, or may be."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    parts = [schema.get("items", {}), *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return next(
        (name for name in map(_name, (one for one in parts if one and isinstance(one, dict))) if name), None
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """Return a schema's type in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if alternatives:
        return " or ".join(dict.fromkeys(_kind(one) for one in alternatives))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"list of {_kind(items)}" if isinstance(items, dict) else "list"
    return str(schema.get("type", "any"))

"""The OpenAPI document: FastAPI's, with problems typed and operation ids that stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from app.kit.access import PROJECT_PARAMETER, SCHEME
from app.kit.pagination import MOST_INTEGER
from app.kit.problems import (
    BadRequest,
    Forbidden,
    InternalError,
    InvalidJson,
    InvalidRequest,
    NotFound,
    ProblemDetails,
    StorageFull,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
    UploadTimeout,
    problem_responses,
)

_REFERENCE = "#/components/schemas/{model}"

# What any operation may answer.
COMMON_RESPONSES = problem_responses(InvalidRequest, InternalError, Unavailable)
# What an operation that wants a key may answer besides; added to all of them.
_SECURED_RESPONSES = problem_responses(Unauthorized, Forbidden, NotFound, TooManyRequests)
_KEY: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "dl_<prefix>_<secret>",
    "description": "A key with the scope that the operation names; `admin` has all. Pages use a cookie. On a "
    "loopback address without any key, requests need none.",
}
_PROJECT: dict[str, Any] = {
    "name": PROJECT_PARAMETER,
    "in": "query",
    "required": False,
    "description": "For admins: the project whose resources are meant, instead of the key's own; `*` is "
    "every one, for reading.",
    "schema": {"type": "string", "maxLength": 64},
}
# What an operation with a JSON body may answer besides; added to all of them.
_JSON_BODY_RESPONSES = problem_responses(InvalidJson, UploadTimeout, TooLarge, UnsupportedMediaType)
# What an upload may answer besides.
UPLOAD_RESPONSES = problem_responses(BadRequest, UploadTimeout, TooLarge, UnsupportedMediaType, StorageFull)


_SUBMISSIONS = ("submit_job", "retry_job", "extend_job")
# What an answer's `id` may be used for: operation and status, the parameter that takes the id, and where.
_JOB_OPERATIONS = (
    "get_job",
    "get_job_results",
    "get_job_history",
    "list_job_events",
    "list_job_artifacts",
    "cancel_job",
    "retry_job",
    "extend_job",
    "delete_job",
)
_LINKS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("upload_model", "201"): ("model_id", ("get_model", "get_model_content", "delete_model")),
    ("upload_dataset", "201"): ("dataset_id", ("get_dataset", "delete_dataset")),
    ("store_rpu_config", "201"): ("config_id", ("get_rpu_config", "delete_rpu_config")),
    ("submit_job", "202"): ("job_id", _JOB_OPERATIONS),
    ("retry_job", "202"): ("job_id", _JOB_OPERATIONS),
    ("extend_job", "202"): ("job_id", _JOB_OPERATIONS),
    ("create_webhook", "201"): (
        "webhook_id",
        ("get_webhook", "change_webhook", "list_webhook_deliveries", "test_webhook", "delete_webhook"),
    ),
}


def operation_id(route: APIRoute) -> str:
    """Return the endpoint function's name: it stays when paths and tags move."""
    return route.name


def describe(
    app: FastAPI, *, examples: Path | None = None, refine: Callable[[dict[str, Any]], None] | None = None
) -> None:
    """Have the application's document hold the schema of problems, the problems of JSON bodies, and examples.

    Args:
        app: the application.
        examples: a file with recorded answers, by operation and status.
        refine: adds to the document what FastAPI does not know.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                license_info=app.license_info,
                contact=app.contact,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            for path in schema.get("paths", {}).values():
                for operation in path.values():
                    _add_common(operation)
            _add_links(schema)
            _add_headers(schema)
            _write_whole_bounds(schema)
            _restore_examples(schema, app)
            if examples is not None:
                _add_recorded(schema, json.loads(examples.read_text(encoding="utf-8")))
            problem = ProblemDetails.model_json_schema(ref_template=_REFERENCE, mode="serialization")
            parts = problem.pop("$defs", {})
            schema.setdefault("components", {}).setdefault("schemas", {}).update(
                {**parts, "ProblemDetails": problem}
            )
            schema.setdefault("components", {})["securitySchemes"] = {SCHEME: _KEY}
            if refine is not None:
                refine(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # how FastAPI has it replaced


def _add_common(operation: dict[str, Any]) -> None:
    """Add what operations have in common: those with a key, and those with a JSON body."""
    if operation.get("security"):
        operation["parameters"] = [*operation.get("parameters", ()), _PROJECT]
        for status, response in _SECURED_RESPONSES.items():
            operation["responses"].setdefault(str(status), response)
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        for status, response in _JSON_BODY_RESPONSES.items():
            operation["responses"].setdefault(str(status), response)


def _add_links(schema: dict[str, Any]) -> None:
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                parameter, targets = _LINKS.get((operation["operationId"], status), ("", ()))
                if targets:
                    response["links"] = {
                        target: {"operationId": target, "parameters": {parameter: "$response.body#/id"}}
                        for target in targets
                    }


_HEADERS = {
    "Location": "Path of the new resource.",
    "ETag": "The version of this answer, for `If-None-Match` and `If-Match`.",
    "Retry-After": "Seconds after which to ask again.",
}
_LOCATED = (
    "upload_model",
    "upload_dataset",
    "store_rpu_config",
    "create_webhook",
    "create_key",
    "rotate_key",
    *_SUBMISSIONS,
)
_UNTAGGED = ("get_liveness", "get_readiness", "list_job_events", "get_whoami")


def _add_headers(schema: dict[str, Any]) -> None:
    """Add the headers of answers, which FastAPI does not know."""
    for path in schema.get("paths", {}).values():
        for method, operation in path.items():
            name = operation["operationId"]
            for status, response in operation["responses"].items():
                found = {"Retry-After"} if status in ("429", "503") else set()
                if status in ("200", "201", "202") and name in _LOCATED:
                    found.add("Location")
                if name in _SUBMISSIONS and status == "202":
                    found |= {"ETag", "Retry-After"}
                if method == "get" and status in ("200", "304") and name not in _UNTAGGED:
                    found.add("ETag")
                headers = {one: {"description": _HEADERS[one], "schema": {"type": "string"}} for one in found}
                if headers:
                    response["headers"] = {**headers, **response.get("headers", {})}


def _add_recorded(schema: dict[str, Any], recorded: dict[str, dict[str, Any]]) -> None:
    """Show recorded answers as the examples of each operation and status that has some.

    An answer is recorded by its status, or by its status and a name: `200 advice`.
    """
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            for recorded_as, example in recorded.get(operation["operationId"], {}).items():
                status, _, name = recorded_as.partition(" ")
                content = operation["responses"][status]["content"]["application/json"]
                if name:
                    content.setdefault("examples", {})[name] = {"value": example}
                else:
                    content["example"] = example


def _write_whole_bounds(node: Any) -> None:
    """Write bounds of integers as integers, none of them beyond what the service accepts."""
    if isinstance(node, dict):
        if node.get("type") == "integer":
            for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
                if isinstance(node.get(bound), float):
                    most = MOST_INTEGER + ("exclusive" in bound)
                    node[bound] = min(int(node[bound]), most)
        for part in node.values():
            _write_whole_bounds(part)
    elif isinstance(node, list):
        for part in node:
            _write_whole_bounds(part)


def _restore_examples(schema: dict[str, Any], app: FastAPI) -> None:
    """Restore the examples of answers as they were written: FastAPI omits their null fields."""
    for route in iter_route_contexts(app.routes):
        model = getattr(route, "response_model", None)
        if isinstance(model, type) and issubclass(model, BaseModel):
            extra = model.model_config.get("json_schema_extra")
            if isinstance(extra, dict) and "examples" in extra:
                schema["components"]["schemas"][model.__name__]["examples"] = extra["examples"]

"""The OpenAPI document: FastAPI's, with problems typed and operation ids that stay."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.kit.problems import (
    BadRequest,
    InternalError,
    InvalidJson,
    InvalidRequest,
    ProblemDetails,
    StorageFull,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
    UploadTimeout,
    problem_responses,
)

_REFERENCE = "#/components/schemas/{model}"

# What any operation may answer.
COMMON_RESPONSES = problem_responses(InvalidRequest, InternalError, Unavailable)
# What an operation with a JSON body may answer besides; added to all of them.
_JSON_BODY_RESPONSES = problem_responses(InvalidJson, UploadTimeout, TooLarge, UnsupportedMediaType)
# What an upload may answer besides.
UPLOAD_RESPONSES = problem_responses(BadRequest, UploadTimeout, TooLarge, UnsupportedMediaType, StorageFull)


def operation_id(route: APIRoute) -> str:
    """Return the endpoint function's name: it stays when paths and tags move."""
    return route.name


def describe(app: FastAPI) -> None:
    """Have the application's document hold the schema of problems, and the problems of JSON bodies."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            for path in schema.get("paths", {}).values():
                for operation in path.values():
                    if "application/json" in operation.get("requestBody", {}).get("content", {}):
                        for status, response in _JSON_BODY_RESPONSES.items():
                            operation["responses"].setdefault(str(status), response)
            problem = ProblemDetails.model_json_schema(ref_template=_REFERENCE, mode="serialization")
            parts = problem.pop("$defs", {})
            schema.setdefault("components", {}).setdefault("schemas", {}).update(
                {**parts, "ProblemDetails": problem}
            )
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # how FastAPI has it replaced

"""The query parameters of an endpoint: one model, which knows every name that the endpoint takes.

An endpoint says `query: Annotated[JobsQuery, Query()]`; models that share parameters inherit them.
An endpoint that says nothing takes none (`app.kit.routing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from app.kit.problems import shortened
from simulator.config.base import custom_error, unknown, unknown_error

_MOST_STRANGERS = 20  # unknown parameters that are reported one by one


class QueryModel(BaseModel):
    """Query parameters: an unknown name is an error, which names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _judge(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Report unknown names and NUL characters together with all faults of the known parameters."""
        if not isinstance(given, Mapping):
            return handler(given)
        known = {field.alias or name for name, field in cls.model_fields.items()}
        faults = [*_unknown_names(given, known), *_values_with_nul(given)]
        try:
            query = handler({name: value for name, value in given.items() if name in known})
        except ValidationError as error:
            faults += [_again(line) for line in error.errors(include_url=False)]
        else:
            if not faults:
                return query
        raise ValidationError.from_exception_data(cls.__name__, faults)


class NoParameters(QueryModel):
    """The query of an endpoint that takes no parameters."""


def _unknown_names(given: Mapping[str, Any], known: set[str]) -> Iterator[InitErrorDetails]:
    strangers = [name for name in given if name not in known]
    for name in strangers[:_MOST_STRANGERS]:
        said = unknown("query parameter", shortened(name, 100), known)
        yield InitErrorDetails(type=unknown_error("unknown_parameter", said), loc=(name,), input=given[name])
    if len(strangers) > _MOST_STRANGERS:
        message = f"and {len(strangers) - _MOST_STRANGERS} more faults"
        yield InitErrorDetails(type=custom_error("more_errors", message), loc=(), input=None)


def _values_with_nul(given: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    for name, value in given.items():
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) and "\0" in text for text in texts):
            error = custom_error("nul_character", "the value holds a NUL character", hint="leave it out")
            yield InitErrorDetails(type=error, loc=(name,), input=value)


def _again(line: Any) -> InitErrorDetails:
    """Return an error that pydantic reported, to be raised once more among others."""
    kind, context = line["type"], line.get("ctx", {})
    if "message" in context:  # one of ours (`custom_error`): pydantic does not know its kind
        kind = custom_error(kind, context["message"], hint=context.get("hint"))
    return InitErrorDetails(type=kind, loc=line["loc"], input=line["input"], ctx=context)

"""Deep-merging overrides into a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from simulator.config.base import StrictModel, TypedConfig, custom_error
from simulator.config.rpu import InferenceRPUConfig

Location = tuple[str | int, ...]


def with_overrides(
    config: InferenceRPUConfig, overrides: Mapping[str, Any], location: Location = ()
) -> InferenceRPUConfig:
    """Return a new configuration: `config` with the given fields replaced, nested ones merged.

    A union (noise model, converter, compensation) is merged while its `type` stays, and replaced whole when
    it changes. Defaults that depend on other fields are made anew.

    Args:
        config: the base, which stays as it is.
        overrides: any part of a configuration, nested.
        location: where the overrides stand, to go before the locations of errors.

    Raises:
        pydantic.ValidationError: listing every fault of the result.
    """
    if not isinstance(overrides, Mapping):
        error = custom_error("overrides_type", "overrides are an object with parts of a configuration")
        raise ValidationError.from_exception_data(
            "InferenceRPUConfig", [InitErrorDetails(type=error, loc=location, input=overrides)]
        )
    try:
        return InferenceRPUConfig.model_validate(_merged(config.model_copy(deep=True), overrides))
    except ValidationError as error:
        raise located(error, location) from None


def located(error: ValidationError, location: Location) -> ValidationError:
    """Return the same validation error with a location put before every one of its own."""
    lines = []
    for line in error.errors(include_url=False):
        kind: Any = line["type"]
        context = line.get("ctx", {})
        if "message" in context:
            kind = custom_error(line["type"], context["message"], hint=context.get("hint"))
        loc = (*location, *line["loc"])
        lines.append(InitErrorDetails(type=kind, loc=loc, input=line["input"], ctx=context))
    return ValidationError.from_exception_data(error.title, lines)


def _merged(model: StrictModel, overrides: Mapping[str, Any]) -> dict[str, Any]:
    result = _given(model)
    for name, value in overrides.items():
        current = getattr(model, name, None) if name in type(model).model_fields else None
        if isinstance(current, StrictModel) and isinstance(value, Mapping) and _same_type(current, value):
            result[name] = _merged(current, value)
        else:
            result[name] = value
    return result


def _same_type(current: StrictModel, value: Mapping[str, Any]) -> bool:
    return not isinstance(current, TypedConfig) or value.get("type", current.type) == current.type


def _given(model: StrictModel) -> dict[str, Any]:
    """Return what was set, as nested dicts, so that dependent defaults are not carried along as set."""
    given: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, StrictModel):
            given[name] = _given(value)
        elif name in model.model_fields_set or (name == "type" and isinstance(model, TypedConfig)):
            given[name] = value
    return given

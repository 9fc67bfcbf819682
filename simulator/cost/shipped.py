"""The profiles that ship, and what a specification of hardware means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from simulator.config.base import custom_error, unknown, unknown_error, unknown_field
from simulator.cost.prices import kind_of_price
from simulator.cost.profile import HardwareProfile

OWN_SOURCE: Final = "given in the request"
_REFERENCE: Final = ("profile", "overrides")
_NUMBER: Final = frozenset({"value", "table", "unit"})


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    folder = resources.files("simulator.cost").joinpath("profiles")
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".json")), key=lambda one: one.name)
    return {one.name.removesuffix(".json"): json.loads(one.read_text("utf-8")) for one in files}


def profile_names() -> list[str]:
    """Return the names of the profiles that ship."""
    return list(_shipped())


@cache
def shipped_profile(name: str) -> HardwareProfile:
    """Return a profile that ships, frozen; KeyError if there is none."""
    return HardwareProfile.model_validate(_shipped()[name]).frozen()


def is_hardware_reference(spec: Any) -> bool:
    """Return whether a specification names a profile, rather than being one."""
    return isinstance(spec, Mapping) and bool(set(_REFERENCE) & set(spec))


def resolve_hardware(spec: Any) -> HardwareProfile:
    """Return the profile that a specification means.

    Args:
        spec: a profile, or `{"profile": name, "overrides": {...}}`.

    Raises:
        pydantic.ValidationError: with every fault, located in `spec`.
    """
    if not is_hardware_reference(spec):
        return HardwareProfile.model_validate(spec)
    faults = [
        _fault(unknown_error("unknown_field", unknown_field(one, _REFERENCE)), (one,), spec[one])
        for one in spec
        if one not in _REFERENCE
    ]
    name, overrides = spec.get("profile"), spec.get("overrides")
    if not isinstance(name, str) or name not in _shipped():
        said = unknown("hardware profile", name if isinstance(name, str) else None, _shipped())
        faults.append(_fault(unknown_error("unknown_profile", said), ("profile",), name))
    if overrides is not None and not isinstance(overrides, Mapping):
        error = custom_error("overrides_type", "overrides are an object with parts of a profile")
        faults.append(_fault(error, ("overrides",), overrides))
    if faults:
        raise ValidationError.from_exception_data("HardwareProfile", faults)
    if not overrides:
        return shipped_profile(str(name))
    merged = _merged(_shipped()[str(name)], overrides)
    try:
        return HardwareProfile.model_validate(merged)
    except ValidationError as error:
        raise _located(error, merged, overrides) from None


def _merged(
    base: Mapping[str, Any], overrides: Mapping[str, Any], *, is_price: bool = False
) -> dict[str, Any]:
    """Return `base` with fields replaced, nested ones merged; null takes a component away.

    A price of another kind replaces the one before it as a whole, and a number that is no longer the
    published one no longer has its source.
    """
    wanted = _kind_wanted(overrides) if is_price else None
    result = {} if wanted is not None and wanted != kind_of_price(base) else dict(base)
    for name, value in overrides.items():
        current = result.get(name)
        if isinstance(current, Mapping) and isinstance(value, Mapping):
            result[name] = _merged(current, value, is_price=name == "price")
        elif value is None and isinstance(current, Mapping):
            del result[name]
        else:
            result[name] = value
    for given, other in (("value", "table"), ("table", "value")):
        if given in overrides and other not in overrides:
            result.pop(other, None)
    if _NUMBER & set(overrides) and "unit" in result and "source" not in overrides:
        result["source"] = OWN_SOURCE
    return result


def _kind_wanted(overrides: Mapping[str, Any]) -> str | None:
    """Return which kind of price overrides make, None where they fit any."""
    if {"value", "table"} & set(overrides):
        return "given"
    kind = kind_of_price(overrides)
    return None if kind == "given" else kind


def _located(error: ValidationError, merged: Any, overrides: Any) -> ValidationError:
    """Return the error located where the client wrote the value: among the overrides, or by the name."""
    lines = []
    for line in error.errors(include_url=False):
        kind: Any = line["type"]
        context = line.get("ctx", {})
        if "message" in context:
            kind = custom_error(line["type"], context["message"], hint=context.get("hint"))
        loc = ("overrides", *line["loc"]) if _is_within(overrides, merged, line["loc"]) else ("profile",)
        lines.append(InitErrorDetails(type=kind, loc=loc, input=line["input"], ctx=context))
    return ValidationError.from_exception_data(error.title, lines)


def _is_within(overrides: Any, merged: Any, path: tuple[str | int, ...]) -> bool:
    """Tell whether the overrides hold what a path leads to; a path also names members of unions."""
    for key in path:
        if isinstance(merged, Mapping) and key not in merged and isinstance(overrides, Mapping):
            continue  # the tag of a union, or a field that is missing there
        if not isinstance(overrides, Mapping) or key not in overrides:
            return False
        overrides = overrides[key]
        merged = merged[key] if isinstance(merged, Mapping) and key in merged else None
    return True


def _fault(error: Any, loc: tuple[str | int, ...], value: Any) -> InitErrorDetails:
    return InitErrorDetails(type=error, loc=loc, input=value)

"""Costs and hardware as clients ask for them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, field_validator
from pydantic.config import JsonDict

from app.configs.schemas import StoredReference, is_reference
from app.kit.fields import EXAMPLE_ID
from simulator.config import LayerRules, StrictModel, resolve
from simulator.config.base import custom_error, nearest
from simulator.cost import profile_names, resolve_hardware

_EXAMPLE: JsonDict = {
    "model": EXAMPLE_ID,
    "rpu_config": {"preset": "PCMExamplePreset"},
    "hardware": {"profile": "HERMES14nm"},
}


def _not_a_name(value: object) -> object:
    """Explain how to name a profile to a client that writes its name alone."""
    if not isinstance(value, str):
        return value
    name = value if value in profile_names() else nearest(value, profile_names())
    hint = f"write {json.dumps({'profile': name or profile_names()[0]})}"
    raise custom_error("dict_type", "hardware is an object, not a name", hint=hint)


# A profile, or the name of one with overrides; every fault of it is found when it is read.
HardwareSpec = Annotated[dict[str, Any], BeforeValidator(_not_a_name)]


class CostCreate(StrictModel):
    """Which model costs what on which hardware."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    model: str = Field(description="Id of an uploaded model.")
    dataset: str | None = Field(
        default=None,
        description="Id of a dataset, whose samples say the sizes of inputs that the model's file leaves"
        " open; null: one product is counted for each layer that depends on them.",
    )
    rpu_config: dict[str, Any] = Field(
        default_factory=dict,
        description="RPU configuration, from which tiles, converters' bits and passes are taken; or a "
        "preset or a stored configuration, with overrides.",
    )
    layers: LayerRules | None = Field(
        default=None, description="Layers that stay digital or have a configuration of their own."
    )
    hardware: HardwareSpec = Field(
        description="Hardware profile, or the name of one with overrides: "
        '`{"profile": name, "overrides": {...}}`.'
    )

    @field_validator("rpu_config")
    @classmethod
    def _check_config(cls, value: dict[str, Any]) -> dict[str, Any]:
        if is_reference(value):
            StoredReference.model_validate(value)  # what it refers to is looked up by the service
        else:
            resolve(value)
        return value

    @field_validator("hardware")
    @classmethod
    def _check_hardware(cls, value: dict[str, Any]) -> dict[str, Any]:
        resolve_hardware(value)
        return value

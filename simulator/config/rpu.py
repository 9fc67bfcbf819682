"""The whole configuration of an inference tile, and what is made of it: effective form, hash, schema."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field

from simulator.config.base import StrictModel
from simulator.config.compensation import DriftCompensationConfig, GlobalDriftCompensation
from simulator.config.hwa import WeightClipParameter, WeightModifierParameter, WeightRemapParameter
from simulator.config.inert import IdealDevice, RuntimeParameter, UpdateParameters
from simulator.config.io import BackwardIOParameters, IOParameters
from simulator.config.mapping import MappingParameter, PrePostProcessingParameter
from simulator.config.noise_models import NoiseModelConfig, PCMLikeNoiseModel

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class InferenceRPUConfig(StrictModel):
    """Configuration of analog inference: field names, nesting, defaults and values are aihwkit's."""

    runtime: RuntimeParameter = Field(
        default_factory=RuntimeParameter, description="Runtime of the reference; accepted with its defaults."
    )
    pre_post: PrePostProcessingParameter = Field(
        default_factory=PrePostProcessingParameter, description="Digital processing around a tile."
    )
    mapping: MappingParameter = Field(
        default_factory=MappingParameter, description="From logical layers to tiles."
    )
    forward: IOParameters = Field(
        default_factory=IOParameters, description="One analog matrix-vector product."
    )
    backward: BackwardIOParameters = Field(
        default_factory=BackwardIOParameters, description="Analog backward pass; accepted with its defaults."
    )
    update: UpdateParameters = Field(
        default_factory=UpdateParameters, description="In-memory update; accepted with its defaults."
    )
    noise_model: NoiseModelConfig = Field(
        default_factory=lambda: PCMLikeNoiseModel(g_max=25.0),
        description="What programming, time and reading do to the conductances.",
    )
    drift_compensation: DriftCompensationConfig | None = Field(
        default_factory=GlobalDriftCompensation, description="Digital drift compensation; null: none."
    )
    clip: WeightClipParameter = Field(
        default_factory=WeightClipParameter, description="Weight clipping after optimiser steps."
    )
    remap: WeightRemapParameter = Field(
        default_factory=WeightRemapParameter, description="Weight remapping after optimiser steps."
    )
    modifier: WeightModifierParameter = Field(
        default_factory=WeightModifierParameter, description="Weight noise of hardware-aware training."
    )
    device: IdealDevice = Field(
        default_factory=IdealDevice, description="Pulsed device; accepted with its defaults."
    )


def effective(config: InferenceRPUConfig) -> dict[str, Any]:
    """Return the configuration with its defaults filled in, ready for strict JSON and for reading again.

    Infinite bounds are the string "inf".
    """
    return config.model_dump(mode="json")


def config_hash(config: InferenceRPUConfig) -> str:
    """Return the sha256 (hex) of the effective configuration's canonical JSON."""
    text = json.dumps(
        effective(config), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the configuration's JSON Schema (draft 2020-12), registered user types included."""
    schema = InferenceRPUConfig.model_json_schema()
    definitions: dict[str, Any] = {}
    hoisted = _hoist(schema, definitions)
    hoisted["$defs"] |= definitions
    return {"$schema": SCHEMA_DIALECT, **hoisted}


def _hoist(node: Any, definitions: dict[str, Any]) -> Any:
    """Move the members of unions, which pydantic writes in place, to the definitions: each stands once."""
    if isinstance(node, list):
        return [_hoist(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: _hoist(value, definitions) for key, value in node.items()}
    if "oneOf" in node:
        result["oneOf"] = [_reference(member, definitions) for member in result["oneOf"]]
    return result


def _reference(member: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in member:
        return member
    definitions[member["title"]] = member
    return {"$ref": f"#/$defs/{member['title']}"}

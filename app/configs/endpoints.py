"""HTTP of RPU configurations."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from app.configs import service
from app.configs.schemas import CheckedConfig, PresetList
from app.kit.etag import NOT_MODIFIED, ConditionalDep, etag_of
from app.kit.routing import StrictRoute
from simulator.config import json_schema

router = APIRouter(prefix="/v1/rpu-configs", tags=["rpu-configs"], route_class=StrictRoute)

_EXAMPLES = {
    "inline": {
        "summary": "A configuration; what is left out has its default",
        "value": {
            "forward": {"inp_res": 0.015625, "w_noise_type": "AdditiveConstant", "w_noise": 0.02},
            "noise_model": {"type": "PCMLikeNoiseModel", "g_max": 25.0},
            "drift_compensation": {"type": "GlobalDriftCompensation"},
        },
    },
    "preset": {
        "summary": "A named configuration, in part replaced",
        "value": {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.04}}},
    },
}


@router.get(
    "/schema",
    summary="JSON Schema of an RPU configuration",
    response_model=dict[str, Any],
    responses=NOT_MODIFIED,
)
def get_rpu_config_schema(conditional: ConditionalDep, response: Response) -> Any:
    """Every field with its meaning, unit, default and permitted values (JSON Schema 2020-12)."""
    schema = json_schema()
    unchanged = conditional.not_modified(etag_of(json.dumps(schema)), response)
    return unchanged or schema


@router.get("/presets", summary="Named configurations", response_model=PresetList, responses=NOT_MODIFIED)
def list_rpu_config_presets(conditional: ConditionalDep, response: Response) -> Any:
    """The named configurations, each with the publication it follows."""
    presets = PresetList(items=service.presets())
    return conditional.not_modified(etag_of(presets), response) or presets


@router.post("/validate", summary="Check a configuration")
def validate_rpu_config(
    spec: Annotated[dict[str, Any], Body(openapi_examples=_EXAMPLES)],
) -> CheckedConfig:
    """Fill in the defaults and warn of what has no effect; a configuration with faults is a 422.

    What is valid but not simulated yet is a fault with the code `not_yet_supported`.
    """
    return service.check(spec)

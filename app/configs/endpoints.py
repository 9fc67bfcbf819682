"""HTTP of RPU configurations."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from app.configs import service
from app.configs.schemas import (
    CheckedConfig,
    ConfigCreate,
    ImportedConfig,
    PresetList,
    StoredConfig,
    StoredConfigSummary,
)
from app.configs.service import ConfigService
from app.db.tables import RpuConfig
from app.kit.access import Scope, needs
from app.kit.etag import NOT_MODIFIED, ConditionalDep, PreconditionDep, etag_of
from app.kit.fields import EXAMPLE_ID, IdPath, known_id
from app.kit.idempotency import IDEMPOTENCY_PROBLEMS, REPLAYED_HEADER, OnceDep, json_answer
from app.kit.pagination import PAGE_HEADERS, Page, PageQuery, cut, link_next
from app.kit.problems import (
    InvalidJson,
    NotFound,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    problem_responses,
)
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession, WriteSession
from simulator.config import json_schema

router = APIRouter(prefix="/v1/rpu-configs", tags=["rpu-configs"], route_class=StrictRoute)

_LISTING = "rpu-configs"

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
    "stored": {
        "summary": "A stored configuration, in part replaced",
        "value": {"stored": EXAMPLE_ID, "overrides": {"forward": {"out_noise": 0.04}}},
    },
}
_FOREIGN_EXAMPLES = {
    "aihwkit": {
        "summary": "aihwkit's class, fields and values; what is left out has aihwkit's default",
        "value": {
            "class": "InferenceRPUConfig",
            "forward": {"out_noise": 0.02, "w_noise": 0.02, "w_noise_type": "AdditiveConstant"},
            "noise_model": {
                "type": "PCMLikeNoiseModel",
                "g_converter": {"type": "DualPairConductanceConverter", "f_lst": [1.0, 3.0]},
            },
            "drift_compensation": None,
        },
    },
    "composer": {
        "summary": "The Composer's dictionary",
        "value": {
            "adc": 9,
            "dac": 7,
            "output_noise_strength": 0.04,
            "device_id": "pcm",
            "programming_noise_scale": 1.0,
            "read_noise_scale": 1.0,
            "drift_scale": 1.0,
            "drift_compensation": True,
            "poly_constant_coef": 0.26348,
            "poly_first_order_coef": 1.965,
            "poly_second_order_coef": -1.1731,
        },
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


@router.post("/validate", summary="Check a configuration", openapi_extra=needs(Scope.READ))
def validate_rpu_config(
    spec: Annotated[dict[str, Any], Body(openapi_examples=_EXAMPLES)], session: ReadSession
) -> CheckedConfig:
    """Fill in the defaults and warn of what has no effect; a configuration with faults is a 422.

    What is valid but not simulated yet is a fault with the code `not_yet_supported`.
    """
    return ConfigService(session).check(spec)


@router.post("/import", summary="Read a configuration of another program", openapi_extra=needs(Scope.READ))
def import_rpu_config(
    spec: Annotated[dict[str, Any], Body(openapi_examples=_FOREIGN_EXAMPLES)],
) -> ImportedConfig:
    """Read aihwkit's JSON or its Composer's dictionary as ours, and list what was assumed.

    Nothing is stored: send `effective` on, to `POST /v1/rpu-configs` or within a job.
    """
    return service.import_config(spec)


@router.post(
    "",
    status_code=201,
    summary="Store a configuration",
    response_model=StoredConfig,
    responses={
        201: {"headers": REPLAYED_HEADER},
        **problem_responses(*IDEMPOTENCY_PROBLEMS, InvalidJson, TooLarge, UnsupportedMediaType),
    },
)
def store_rpu_config(
    request: Annotated[ConfigCreate, Body()], session: WriteSession, once: OnceDep
) -> Response:
    """Store a configuration under a name; jobs then say `"rpu_config": {"stored": id}`."""

    def store() -> Response:
        row = ConfigService(session).store(request)
        return json_answer(_view(row), 201, {"Location": f"/v1/rpu-configs/{row.id}", "ETag": _etag(row)})

    return once.do(store, find=ConfigService(session).configs.get)


@router.get("", summary="List stored configurations", responses=PAGE_HEADERS)
def list_rpu_configs(
    request: Request, response: Response, session: ReadSession, page: Annotated[PageQuery, Query()]
) -> Page[StoredConfigSummary]:
    """List stored configurations, newest first."""
    after = page.last_key(_LISTING, (str,))
    rows = ConfigService(session).configs.listing(
        before_id=None if after is None else str(after[0]), limit=page.limit + 1
    )
    rows, next_cursor = cut(rows, page, listing=_LISTING, key=lambda row: (row.id,))
    link_next(request, response, next_cursor)
    return Page(items=[StoredConfigSummary.of(row) for row in rows], next_cursor=next_cursor)


@router.get(
    "/{config_id}",
    summary="Get a stored configuration",
    response_model=StoredConfig,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def get_rpu_config(
    config_id: IdPath, response: Response, session: ReadSession, conditional: ConditionalDep
) -> Any:
    """Return a stored configuration, as it was written and as it was understood."""
    row = ConfigService(session).get(known_id("configuration", config_id))
    return conditional.not_modified(_etag(row), response) or _view(row)


@router.delete(
    "/{config_id}",
    status_code=204,
    summary="Delete a stored configuration",
    responses=problem_responses(NotFound, PreconditionFailed),
)
def delete_rpu_config(config_id: IdPath, session: WriteSession, precondition: PreconditionDep) -> None:
    """Delete a stored configuration; jobs that were submitted with it keep what it said."""
    service = ConfigService(session)
    row = service.get(known_id("configuration", config_id))
    precondition.require(lambda: _etag(row))
    service.delete(config_id)


def _view(row: RpuConfig) -> StoredConfig:
    return StoredConfig(
        **StoredConfigSummary.of(row).model_dump(),
        config=row.spec,
        effective=row.effective,
        warnings=service.warnings_of_stored(row),
    )


def _etag(row: RpuConfig) -> str:
    return etag_of(row.id)  # a stored configuration never changes

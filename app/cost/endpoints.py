"""`/v1/hardware-profiles`, `/v1/cost` and a job's cost: HTTP only."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.cost import service
from app.cost.beside import costs_of_tag
from app.cost.formats import (
    COST_CONTENT,
    COST_MEDIA_TYPES,
    TAGGED_CONTENT,
    CostFormat,
    CostQuery,
    TagQuery,
    tagged_csv,
    written,
)
from app.cost.jobs import JobCost, NoCostError, job_cost
from app.cost.requests import CostCreate
from app.cost.schemas import CheckedProfile, CostView, ProfileList, TaggedCosts
from app.cost.service import CostService
from app.kit.access import Scope, needs
from app.kit.etag import NOT_MODIFIED, ConditionalDep, etag_of
from app.kit.fields import IdPath, known_id
from app.kit.negotiation import negotiated
from app.kit.problems import Conflict, Fault, InvalidRequest, NotAcceptable, NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession, snapshot
from app.results.formats import MEDIA_TYPE_OF, ResultsFormat
from app.results.reader import find_job
from app.services import Services, ServicesDep
from driftline import plots
from simulator.cost import profile_names, profile_schema

router = APIRouter(prefix="/v1", tags=["cost"], route_class=StrictRoute)

_EXAMPLES: Final = {
    "named": {
        "summary": "A profile that ships, in part replaced",
        "value": {
            "profile": "ISAAC32nm",
            "overrides": {"energy": {"adc": {"price": {"value": 1.1, "unit": "pJ", "source": "our chip"}}}},
        },
    },
    "whole": {
        "summary": "A profile of one price and one time",
        "value": {
            "name": "our core",
            "node_nm": 22,
            "array": {"rows": 512, "columns": 512},
            "energy": {
                "core": {
                    "each": "array",
                    "times": "pass",
                    "price": {"value": 20, "unit": "nJ", "source": "measured", "factor": 1.2},
                }
            },
            "time": {
                "core": {
                    "times": "pass",
                    "price": {"value": 200, "unit": "ns", "source": "measured", "factor": 1.1},
                }
            },
        },
    },
}


@router.get(
    "/hardware-profiles",
    summary="Hardware profiles that ship",
    response_model=ProfileList,
    responses=NOT_MODIFIED,
)
def list_hardware_profiles(conditional: ConditionalDep, response: Response) -> Any:
    """The profiles that ship, each with its sources and with what its chip does at best."""
    found = ProfileList(items=service.profiles())
    return conditional.not_modified(etag_of(found), response) or found


@router.get(
    "/hardware-profiles/schema",
    summary="JSON Schema of a hardware profile",
    response_model=dict[str, Any],
    responses=NOT_MODIFIED,
)
def get_hardware_profile_schema(conditional: ConditionalDep, response: Response) -> Any:
    """Every field with its meaning, unit, default and permitted values (JSON Schema 2020-12)."""
    schema = profile_schema()
    return conditional.not_modified(etag_of(json.dumps(schema)), response) or schema


@router.post(
    "/hardware-profiles/validate", summary="Check a hardware profile", openapi_extra=needs(Scope.READ)
)
def validate_hardware_profile(
    spec: Annotated[dict[str, Any], Body(openapi_examples=_EXAMPLES)],
) -> CheckedProfile:
    """Fill in the defaults, and say what the chip does at best; a profile with faults is a 422."""
    return service.checked_profile(spec)


@router.post("/cost", summary="Estimate what an inference costs", openapi_extra=needs(Scope.READ))
def estimate_cost(
    request: Annotated[CostCreate, Body()], session: ReadSession, services: ServicesDep
) -> CostView:
    """Return energy, latency and area of one inference, from shapes alone: nothing is computed or stored.

    Sizes that the model's file leaves open are those of the samples of `dataset`, where one is named.
    """
    return CostView.model_validate(CostService(session, services.sizes).cost(request))


@router.get(
    "/cost",
    summary="Accuracy against energy of the jobs of a tag",
    response_model=TaggedCosts,
    responses={200: TAGGED_CONTENT, **problem_responses(NotAcceptable)},
)
async def list_costs(
    request: Request, services: ServicesDep, query: Annotated[TagQuery, Query()]
) -> Response:
    """Return the newest jobs of a tag that name hardware, by cost and by their metric at the last time.

    They stand in the order of their making. Jobs whose bands overlap have no order by energy.
    """
    form = negotiated(request, COST_MEDIA_TYPES, what="costs", asked=query.format)
    found = await costs_of_tag(services, query.tag, query.limit)
    headers = {"Vary": "Accept"}
    if form is CostFormat.JSON:
        content = found.model_dump_json().encode()
    elif form is CostFormat.CSV:
        content = tagged_csv(found)
    else:
        items, metric = found.model_dump()["items"], found.metric or "accuracy"
        content = await services.results.drawn(
            ("costs", etag_of(found), form),
            lambda: plots.to_bytes(plots.accuracy_against_energy(items, metric, query.tag), form),
        )
    return Response(content, media_type=MEDIA_TYPE_OF[ResultsFormat(form)], headers=headers)


@router.get(
    "/jobs/{job_id}/cost",
    response_model=CostView,
    responses={200: COST_CONTENT, **problem_responses(NotFound, NotAcceptable, Conflict)},
)
async def get_job_cost(
    job_id: IdPath, request: Request, services: ServicesDep, query: Annotated[CostQuery, Query()]
) -> Response:
    """Return what one inference of the job's network costs, by the job's hardware or by `profile`.

    Where the profile uses them, mean inputs and conductances that the job measured take the place of the
    profile's. CSV has a row for each layer and component; pictures show the energy by both.
    """
    form = negotiated(request, COST_MEDIA_TYPES, what="costs", asked=query.format)
    known_id("job", job_id)
    if query.profile is not None and query.profile not in profile_names():
        raise _unknown_profile(query.profile)
    found, title = await run_in_threadpool(_read, services, job_id, query.profile)
    headers = {"Vary": "Accept"}
    if form in (CostFormat.SVG, CostFormat.PNG):
        key = ("cost", job_id, etag_of(json.dumps(found.answer, sort_keys=True)), form)
        content = await services.results.drawn(
            key, lambda: plots.to_bytes(plots.cost(found.answer, title), form)
        )
    else:
        content = written(CostView.model_validate(found.answer), form)
    return Response(content, media_type=MEDIA_TYPE_OF[ResultsFormat(form)], headers=headers)


def _read(services: Services, job_id: str, profile: str | None) -> tuple[JobCost, str]:
    with snapshot(services) as session:
        job = find_job(session, job_id)
        try:
            found = job_cost(session, services.blobs, job, profile)
        except NoCostError as error:
            raise Conflict(str(error), code="no_cost") from None
        if found is None:
            names = ", ".join(profile_names())
            message = f"the job names no hardware; ask for ?profile= with one of {names}"
            raise Conflict(message, code="no_hardware")
        return found, job.name or f"job {job.id}"


def _unknown_profile(name: str) -> InvalidRequest:
    fault = Fault(
        pointer="/query/profile",
        code="unknown_profile",
        message=f"there is no hardware profile {name[:100]!r}",
        hint=f"there is {', '.join(profile_names())}",
    )
    return InvalidRequest("there is no such profile", errors=[fault])

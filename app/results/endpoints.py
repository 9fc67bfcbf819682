"""A job's results, and what follows from them: HTTP only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.db.tables import Job
from app.engine.states import FINAL
from app.kit.etag import NOT_MODIFIED, ConditionalDep
from app.kit.fields import IdPath, known_id
from app.kit.idempotency import json_answer
from app.kit.negotiation import negotiated
from app.kit.polling import retry_later
from app.kit.problems import NotAcceptable, NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import snapshot
from app.results import findings, layers, tabular
from app.results.findings import JobFacts
from app.results.formats import (
    DRAWN_CONTENT,
    DRAWN_MEDIA_TYPES,
    LIFETIME_CONTENT,
    LIFETIME_MEDIA_TYPES,
    MEDIA_TYPE_OF,
    PICTURES,
    RESULTS_CONTENT,
    RESULTS_MEDIA_TYPES,
    DrawnFormat,
    LayersQuery,
    LifetimeFormat,
    LifetimeQuery,
    ResultsFormat,
    ResultsQuery,
)
from app.results.lifetime_view import lifetime_view
from app.results.reader import Version, find_job
from app.results.schemas import LifetimeView, ResultsView, SummaryView
from app.results.thresholds import ThresholdQuery
from app.services import Services, ServicesDep
from driftline import plots

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.get(
    "/{job_id}/results",
    response_model=ResultsView,
    responses={200: RESULTS_CONTENT, **problem_responses(NotFound, NotAcceptable), **NOT_MODIFIED},
)
async def get_job_results(
    job_id: IdPath,
    request: Request,
    response: Response,
    services: ServicesDep,
    conditional: ConditionalDep,
    query: Annotated[ResultsQuery, Query()],
) -> Response:
    """Return the accuracy over time as far as it is known: complete or not."""
    results_format = negotiated(request, RESULTS_MEDIA_TYPES, what="results", asked=query.format)
    job = await run_in_threadpool(_read_job, services, job_id)
    response.headers["Vary"] = "Accept"
    retry_later(response, ended=job.state in FINAL)
    representation = (results_format, str(query.cells), str(query.test_set_ci))
    unchanged = conditional.not_modified(Version.of(job).tag(*representation), response)
    if unchanged is not None:
        return unchanged
    reader, media_type = services.results, MEDIA_TYPE_OF[results_format]
    if query.cells and results_format not in PICTURES:
        version, pieces = await reader.pieces(job_id, results_format, test_set_ci=query.test_set_ci)
        response.headers["ETag"] = version.tag(*representation)
        return StreamingResponse(pieces, media_type=media_type, headers=dict(response.headers))
    summary = await reader.summary(job_id)
    response.headers["ETag"] = summary.version.tag(*representation)
    content = (
        await reader.picture(summary, results_format)
        if results_format in PICTURES
        else await reader.points(summary, results_format, test_set_ci=query.test_set_ci)
    )
    return Response(content, media_type=media_type, headers=dict(response.headers))


@router.get(
    "/{job_id}/summary",
    response_model=SummaryView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
async def get_job_summary(
    job_id: IdPath, services: ServicesDep, query: Annotated[ThresholdQuery, Query()]
) -> Response:
    """Return the job's result in words, with the numbers that it is made of."""
    found = await findings.find(services.results, await _facts(services, job_id), query)
    return json_answer(SummaryView.model_validate({"job": job_id, **asdict(found.in_words())}), 200, {})


@router.get(
    "/{job_id}/lifetime",
    response_model=LifetimeView,
    responses={200: LIFETIME_CONTENT, **problem_responses(NotFound, NotAcceptable), **NOT_MODIFIED},
)
async def get_job_lifetime(
    job_id: IdPath, request: Request, services: ServicesDep, query: Annotated[LifetimeQuery, Query()]
) -> Response:
    """Return when each chip first becomes worse than a threshold, and which share of them has not.

    Between evaluated times, the metric is interpolated linearly in ln t. A chip that has fallen counts as
    fallen for good; under a schedule of services, `in_service` has the share of chips that are good at a
    time, whatever they were before, and after which services they came back. CSV and pictures have the shares
    over time.
    """
    lifetime_format = negotiated(request, LIFETIME_MEDIA_TYPES, what="lifetimes", asked=query.format)
    found = await findings.find(services.results, await _facts(services, job_id), query)
    view = await services.results.in_turn(lambda: lifetime_view(found))
    version, title = found.summary.version, found.summary.title
    if lifetime_format in (LifetimeFormat.SVG, LifetimeFormat.PNG):
        content = await services.results.drawn(
            (version, lifetime_format, "lifetime", view.threshold),
            lambda: plots.to_bytes(plots.chip_yield(view.model_dump(), title), lifetime_format),
        )
    else:
        content = await services.results.in_turn(lambda: _written(view, lifetime_format))
    media_type = MEDIA_TYPE_OF[ResultsFormat(lifetime_format)]
    return Response(content, media_type=media_type, headers={"Vary": "Accept"})


def _written(view: LifetimeView, lifetime_format: LifetimeFormat) -> bytes:
    """Return a lifetime as JSON, or its yield as CSV."""
    if lifetime_format is LifetimeFormat.JSON:
        return view.model_dump_json().encode()
    columns = tabular.YIELD_COLUMNS + (tabular.AVAILABILITY_COLUMNS if view.maintenance else ())
    block = tabular.block_of(columns, tabular.share_rows(view.model_dump()["series"]))
    return b"".join(tabular.csv_chunks(columns, [block]))


@router.get(
    "/{job_id}/layers",
    response_model=dict[str, Any],
    responses={200: DRAWN_CONTENT, **problem_responses(NotFound, NotAcceptable), **NOT_MODIFIED},
)
async def get_job_layers(
    job_id: IdPath, request: Request, services: ServicesDep, query: Annotated[LayersQuery, Query()]
) -> Response:
    """Return what the job found about its analog layers, all of them or one.

    JSON is the artifact `conversion.json`, or a layer's entry in it. Pictures of all layers show
    signal-to-noise ratios and clipping; that of one layer shows programmed weights, drift, and what its
    converters get.
    """
    layers_format = negotiated(request, DRAWN_MEDIA_TYPES, what="layers", asked=query.format)
    known_id("job", job_id)

    def read() -> layers.Layers:
        with snapshot(services) as session:
            return layers.find(session, services.blobs, job_id, query.layer)

    found = await run_in_threadpool(read)
    headers = {"Vary": "Accept"}
    if layers_format is DrawnFormat.JSON:
        return JSONResponse(found.content, headers=headers)
    picture = await services.results.drawn(
        (found.sha256, found.title, layers_format), lambda: found.picture(layers_format)
    )
    return Response(picture, media_type=MEDIA_TYPE_OF[ResultsFormat(layers_format)], headers=headers)


async def _facts(services: Services, job_id: str) -> JobFacts:
    def read() -> JobFacts:
        with snapshot(services) as session:
            return JobFacts.of(session, find_job(session, known_id("job", job_id)), services.blobs)

    return await run_in_threadpool(read)


def _read_job(services: Services, job_id: str) -> Job:
    with snapshot(services) as session:
        return find_job(session, known_id("job", job_id))

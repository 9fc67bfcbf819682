"""What follows from a job's results: HTTP only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response
from starlette.concurrency import run_in_threadpool

from app.kit.etag import NOT_MODIFIED
from app.kit.fields import IdPath, known_id
from app.kit.idempotency import json_answer
from app.kit.problems import NotAcceptable, NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import snapshot
from app.results import findings, tabular
from app.results.findings import Findings, JobFacts
from app.results.formats import LIFETIME_CONTENT, LifetimeFormat, LifetimeFormatDep
from app.results.schemas import LifetimeView, SummaryView
from app.results.thresholds import ThresholdDep, no_digital_result
from app.services import Services, ServicesDep
from driftline import plots

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.get(
    "/{job_id}/summary",
    response_model=SummaryView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
async def get_job_summary(job_id: IdPath, services: ServicesDep, query: ThresholdDep) -> Response:
    """Return the job's result in words, with the numbers that it is made of."""
    found = await findings.find(services.results, await _facts(services, job_id), query)
    return json_answer(SummaryView.model_validate({"job": job_id, **asdict(found.in_words())}), 200, {})


@router.get(
    "/{job_id}/lifetime",
    response_model=LifetimeView,
    responses={200: LIFETIME_CONTENT, **problem_responses(NotFound, NotAcceptable), **NOT_MODIFIED},
)
async def get_job_lifetime(
    job_id: IdPath, services: ServicesDep, query: ThresholdDep, lifetime_format: LifetimeFormatDep
) -> Response:
    """Return when each chip first becomes worse than a threshold, and which share of them has not.

    Between evaluated times, the metric is interpolated linearly in ln t. A chip that has fallen counts as
    fallen for good. CSV and pictures have the share over time.
    """
    found = await findings.find(services.results, await _facts(services, job_id), query)
    view = _lifetime_view(found)
    headers = {"Vary": "Accept"}
    if lifetime_format is LifetimeFormat.JSON:
        return json_answer(view, 200, headers)
    answer = view.model_dump(mode="json", by_alias=True)
    if lifetime_format is LifetimeFormat.CSV:
        rows = tabular.point_rows(answer["series"], "yield")
        block = tabular.block_of(tabular.YIELD_COLUMNS, rows)
        return Response(
            b"".join(tabular.csv_chunks(tabular.YIELD_COLUMNS, [block])),
            media_type="text/csv",
            headers=headers,
        )
    picture = await services.results.drawn(
        (found.summary.version, lifetime_format, "lifetime", view.threshold),
        lambda: plots.to_bytes(plots.chip_yield(answer, found.summary.title), lifetime_format),
    )
    media_type = "image/png" if lifetime_format is LifetimeFormat.PNG else "image/svg+xml"
    return Response(picture, media_type=media_type, headers=headers)


def _lifetime_view(found: Findings) -> LifetimeView:
    if found.threshold is None:
        raise no_digital_result()
    series: list[dict[str, Any]] = []
    for life in found.lives:
        one = asdict(life)
        series.append({**one, "yield": one["yield_"]})
    return LifetimeView.model_validate(
        {
            "job": found.facts.job_id,
            "complete": found.summary.version.complete,
            "metric": found.threshold.metric,
            "threshold": found.threshold.value,
            "digital": found.threshold.digital,
            "series": series,
        }
    )


async def _facts(services: Services, job_id: str) -> JobFacts:
    known_id("job", job_id)

    def read() -> JobFacts:
        with snapshot(services) as session:
            return findings.facts_of(session, job_id)

    return await run_in_threadpool(read)

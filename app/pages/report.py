"""The report of a job: one self-contained HTML file that prints well, rendered when it is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from app.jobs.views import REPORT
from app.kit.etag import NOT_MODIFIED
from app.kit.fields import IdPath, known_id
from app.kit.problems import NotFound, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import snapshot
from app.pages.rendering import Pages, render
from app.pages.views.analyses import Analysed
from app.pages.views.job import JobPage, job_page
from app.pages.views.results import limit, result_table
from app.results import findings, layers
from app.results.findings import Findings, JobFacts
from app.results.formats import ResultsFormat
from app.results.lifetime_view import lifetime_view
from app.results.reader import find_job
from app.results.thresholds import ThresholdQuery
from app.services import Services, ServicesDep
from driftline import plots

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)

# Everything is in the file, and nothing in it runs.
_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)
_HTML: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The report.", "content": {"text/html": {"schema": {"type": "string"}}}},
    **problem_responses(NotFound),
    **NOT_MODIFIED,
}


@dataclass(frozen=True)
class Pictures:
    """The pictures of a report as data URIs; None where there is nothing to draw."""

    accuracy: str | None
    chip_yield: str | None
    layers: str | None
    cost: str | None
    analyses: dict[str, str | None]


@router.get("/{job_id}/report", response_class=HTMLResponse, responses=_HTML)
@router.get(f"/{{job_id}}/artifacts/{REPORT}", include_in_schema=False)
async def get_job_report(
    job_id: IdPath, request: Request, services: ServicesDep, query: Annotated[ThresholdQuery, Query()]
) -> Response:
    """Return a report of the job as one HTML file, which needs no script and no other file.

    It has the result in words, curves, tables, layers, fine-tuning, the configuration with its difference
    from the preset, provenance, and how to run the job again.
    """
    facts = await run_in_threadpool(_facts, services, known_id("job", job_id))
    found = await findings.find(services.results, facts, query)
    page, conversion = await run_in_threadpool(_read, request, services, job_id)
    pictures = await _pictures(services, found, page, conversion)
    return await run_in_threadpool(_rendered, request, found, page, pictures)


def _facts(services: Services, job_id: str) -> JobFacts:
    with snapshot(services) as session:
        return JobFacts.of(session, find_job(session, job_id), services.blobs)


def _read(request: Request, services: Services, job_id: str) -> tuple[JobPage, layers.Layers | None]:
    with snapshot(services) as session:
        page = job_page(Pages(request, session, services), job_id, None)
        try:
            return page, layers.find(session, services.blobs, job_id, None)
        except NotFound:  # the job has not described its layers
            return page, None


async def _pictures(
    services: Services, found: Findings, page: JobPage, described: layers.Layers | None
) -> Pictures:
    version, answer = found.summary.version, found.summary.answer
    has_points = any(one["points"] for one in answer["series"])
    has_lives = any(one.chips for one in found.lives)

    async def drawn(key: tuple[object, ...], draw: Callable[[], bytes]) -> str:
        return _data_uri(await services.results.drawn(("report", *key), draw))

    accuracy = chip_yield = every_layer = None
    if has_points:
        accuracy = await drawn(
            (version, "accuracy"), lambda: plots.to_bytes(plots.accuracy(answer), ResultsFormat.SVG)
        )
    if has_lives and found.threshold is not None:
        chip_yield = await drawn(
            (version, "yield", found.threshold.value),
            lambda: plots.to_bytes(plots.chip_yield(lifetime_view(found).model_dump()), ResultsFormat.SVG),
        )
    if described is not None:
        every_layer = await drawn(
            (described.sha256, "layers"),
            lambda: plots.to_bytes(plots.layers(described.content), ResultsFormat.SVG),
        )
    energy = None
    cost = found.facts.cost
    if cost is not None:
        energy = await drawn(
            ("cost", found.facts.job_id, json.dumps(cost, sort_keys=True)),
            lambda: plots.to_bytes(plots.cost(cost), ResultsFormat.SVG),
        )
    analyses: dict[str, str | None] = {}
    for one in page.analyses:
        draw = partial(_drawn_analysis, one)
        analyses[one.type] = await drawn((page.job.id, page.version, one.type), draw)
    return Pictures(accuracy, chip_yield, every_layer, energy, analyses)


def _drawn_analysis(one: Analysed) -> bytes:
    return plots.to_bytes(plots.ANALYSES[one.type](one.answer, ""), ResultsFormat.SVG)


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _rendered(request: Request, found: Findings, page: JobPage, pictures: Pictures) -> HTMLResponse:
    model = {
        "page": page,
        "found": found,
        "results": result_table(found.summary.answer),
        "limit": limit(found),
        "summary": found.in_words(),
        "pictures": pictures,
        "execution": json.dumps(page.execution, indent=1, sort_keys=True),
    }
    headers = {
        "Content-Security-Policy": _POLICY,
        "Content-Disposition": f'inline; filename="driftline-{page.job.id}.html"',
    }
    return render(request, "report.html", model, service=None, headers=headers)

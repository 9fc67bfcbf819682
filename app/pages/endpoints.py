"""HTTP of the pages. All the state of a page is in its address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from app.compare.service import MOST_JOBS, CompareService
from app.datasets.service import DatasetService
from app.jobs.listing import ListingDep
from app.jobs.repository import JobFilter, JobRepository
from app.jobs.service import JobService
from app.kit.fields import IdPath, known_id
from app.kit.pagination import PageDep, cut
from app.kit.transactions import snapshot
from app.models.schemas import ModelView
from app.models.service import ModelService
from app.pages.rendering import Pages, PagesDep
from app.pages.route import PageRoute
from app.pages.views.comparison import compare_page
from app.pages.views.configs import configs_page
from app.pages.views.job import job_page
from app.pages.views.job_list import LIGHT, job_rows
from app.pages.views.layers import layer_rows
from app.pages.views.new import new_page
from app.pages.views.reference import reference
from app.pages.views.results import limit, result_table
from app.pages.views.workers import workers_page
from app.results import findings
from app.results.findings import Findings, JobFacts
from app.results.thresholds import ThresholdDep
from app.services import Services, ServicesDep

router = APIRouter(include_in_schema=False, route_class=PageRoute, default_response_class=HTMLResponse)

_FEW = 20
_MOST_CHOICES = 200
_Sort = Annotated[
    str | None, Query(max_length=64, description="Column that a script sorts a table by, and its direction.")
]


@router.get("/")
def jobs_page(pages: PagesDep, listing: ListingDep, page: PageDep, sort: _Sort = None) -> HTMLResponse:
    """Show the jobs, newest first."""
    del sort
    jobs = JobService(pages.session).jobs
    after = page.after(listing.name, (str,))
    found = jobs.listing(
        listing.job_filter,
        after_id=None if after is None else str(after[0]),
        limit=page.limit + 1,
        oldest_first=listing.oldest_first,
        without=LIGHT,
    )
    shown, next_cursor = cut(found, page, listing=listing.name, key=lambda job: (job.id,))
    return pages.show(
        "jobs.html",
        rows=job_rows(pages.session, shown),
        listing=listing,
        next_page=pages.address_with(cursor=next_cursor) if next_cursor else None,
        first_page=pages.address_with(cursor=None) if page.cursor else None,
        models=ModelService(pages.session).models.listing(before_id=None, limit=_MOST_CHOICES),
        datasets=DatasetService(pages.session).listing(after=None, limit=_MOST_CHOICES),
    )


@router.get("/jobs/{job_id}")
async def one_job_page(
    job_id: IdPath,
    request: Request,
    services: ServicesDep,
    query: ThresholdDep,
    layer: Annotated[str | None, Query(max_length=1000, description="Layer that is shown closely.")] = None,
    chips: Annotated[bool, Query(description="Whether a script draws every chip.")] = False,
    sort: _Sort = None,
) -> HTMLResponse:
    """Show a job, its results measured against a threshold."""
    del sort, chips
    facts = await run_in_threadpool(_facts, services, known_id("job", job_id))
    found = await findings.find(services.results, facts, query)
    return await run_in_threadpool(_show_job, request, services, found, layer)


def _facts(services: Services, job_id: str) -> JobFacts:
    with snapshot(services) as session:
        return findings.facts_of(session, job_id)


def _show_job(request: Request, services: Services, found: Findings, layer: str | None) -> HTMLResponse:
    with snapshot(services) as session:
        pages = Pages(request, session, services)
        return pages.show(
            "job.html",
            page=job_page(pages, found.facts.job_id, layer),
            results=result_table(found.summary.answer),
            found=found,
            limit=limit(found),
            layer_address=lambda name: pages.address_with(layer=name),
            summary=found.in_words(),
        )


@router.get("/compare")
def comparison_page(
    pages: PagesDep,
    job: Annotated[list[str] | None, Query(description="Two to eight jobs.")] = None,
    sort: _Sort = None,
) -> HTMLResponse:
    """Show jobs beside one another."""
    del sort
    if job is None or len(job) < 2:
        recent = JobRepository(pages.session).listing(JobFilter(), after_id=None, limit=_FEW, without=LIGHT)
        rows = job_rows(pages.session, recent)
        return pages.show("choose.html", rows=rows, chosen=job or [], most=MOST_JOBS)
    compared = CompareService(pages.session, pages.services.results).compared(job)
    return pages.show("compare.html", page=compare_page(compared))


@router.get("/new")
def new_job_page(
    pages: PagesDep,
    start_from: Annotated[str | None, Query(alias="from", description="A job to start from.")] = None,
    model: Annotated[str | None, Query(description="The model that is chosen at first.")] = None,
    dataset: Annotated[str | None, Query(description="The dataset that is chosen at first.")] = None,
    preset: Annotated[str | None, Query(description="The preset that is chosen at first.")] = None,
) -> HTMLResponse:
    """Show the form of a new job."""
    if start_from is not None:
        known_id("job", start_from)
    return pages.show(
        "new.html",
        page=new_page(pages.session, start_from),
        start_from=start_from,
        model=model,
        dataset=dataset,
        preset=preset,
    )


@router.get("/models")
def models_page(pages: PagesDep, page: PageDep, sort: _Sort = None) -> HTMLResponse:
    """Show the uploaded models, newest first."""
    del sort
    after = page.after("models", (str,))
    rows = ModelService(pages.session).models.listing(
        before_id=None if after is None else str(after[0]), limit=page.limit + 1
    )
    rows, next_cursor = cut(rows, page, listing="models", key=lambda model: (model.id,))
    return pages.show(
        "models.html",
        models=[ModelView.of(row) for row in rows],
        next_page=pages.address_with(cursor=next_cursor) if next_cursor else None,
    )


@router.get("/models/{model_id}")
def one_model_page(model_id: IdPath, pages: PagesDep, sort: _Sort = None) -> HTMLResponse:
    """Show a model."""
    del sort
    model = ModelService(pages.session).get(known_id("model", model_id))
    jobs = JobRepository(pages.session).listing(
        JobFilter(model_id=model.id), after_id=None, limit=_FEW, without=LIGHT
    )
    return pages.show(
        "model.html",
        model=ModelView.of(model),
        layers=layer_rows(model.report),
        rows=job_rows(pages.session, jobs),
    )


@router.get("/datasets")
def datasets_page(pages: PagesDep, page: PageDep, sort: _Sort = None) -> HTMLResponse:
    """Show the datasets: uploaded ones, then built-in ones."""
    del sort
    after = page.after("datasets", (str,))
    rows = DatasetService(pages.session).listing(
        after=None if after is None else str(after[0]), limit=page.limit + 1
    )
    shown, next_cursor = cut(rows, page, listing="datasets", key=lambda dataset: (dataset.id,))
    return pages.show(
        "datasets.html",
        datasets=shown,
        next_page=pages.address_with(cursor=next_cursor) if next_cursor else None,
    )


@router.get("/datasets/{dataset_id}")
def one_dataset_page(dataset_id: IdPath, pages: PagesDep, sort: _Sort = None) -> HTMLResponse:
    """Show a dataset."""
    del sort
    dataset = DatasetService(pages.session).view(dataset_id)
    jobs = JobRepository(pages.session).listing(
        JobFilter(dataset=dataset.id), after_id=None, limit=_FEW, without=LIGHT
    )
    return pages.show("dataset.html", dataset=dataset, rows=job_rows(pages.session, jobs))


@router.get("/configs")
def configurations_page(
    pages: PagesDep,
    show: Annotated[str | None, Query(max_length=200, description="A preset, or a stored one's id.")] = None,
    against: Annotated[str | None, Query(max_length=200, description="Another one to compare with.")] = None,
    sort: _Sort = None,
) -> HTMLResponse:
    """Show presets and stored configurations."""
    del sort
    return pages.show("configs.html", page=configs_page(pages.session, show, against))


@router.get("/workers")
def worker_page(pages: PagesDep, sort: _Sort = None) -> HTMLResponse:
    """Show workers and the queue."""
    del sort
    return pages.show("workers.html", page=workers_page(pages.session, pages.services.settings))


@router.get("/docs")
def reference_page(pages: PagesDep) -> HTMLResponse:
    """Show the API's reference."""
    return pages.show("reference.html", reference=reference(pages.request.app.openapi()))

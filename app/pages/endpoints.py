"""HTTP of the pages. All the state of a page is in its address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from app.compare.service import MOST_JOBS, CompareService
from app.cost.beside import costs_of_tag
from app.cost.schemas import TaggedCosts
from app.datasets.service import DatasetService
from app.jobs.repository import JobFilter, JobRepository
from app.jobs.service import JobService
from app.kit.access import OPEN, Caller, known_caller
from app.kit.fields import IdPath, known_id
from app.kit.pagination import cut
from app.kit.transactions import snapshot
from app.models.schemas import ModelView
from app.models.service import ModelService
from app.pages.queries import (
    ComparePageQuery,
    ConfigsPageQuery,
    CostPageQuery,
    JobPageQuery,
    JobsPageQuery,
    ListPageQuery,
    NewJobQuery,
    TableQuery,
)
from app.pages.rendering import Pages, PagesDep, render
from app.pages.route import PageRoute
from app.pages.views.comparison import compare_page
from app.pages.views.configs import configs_page
from app.pages.views.job import job_page
from app.pages.views.job_list import LIGHT, job_rows
from app.pages.views.layers import layer_rows
from app.pages.views.new import new_page
from app.pages.views.reference import reference
from app.pages.views.results import limit, result_table
from app.pages.views.tagged_costs import tagged_page
from app.pages.views.workers import workers_page
from app.results import findings
from app.results.findings import Findings, JobFacts
from app.results.reader import find_job
from app.services import Services, ServicesDep

router = APIRouter(include_in_schema=False, route_class=PageRoute, default_response_class=HTMLResponse)

_FEW = 20
_MOST_CHOICES = 200
_MOST_PRICED = 50


@router.get("/")
def jobs_page(pages: PagesDep, query: Annotated[JobsPageQuery, Query()]) -> HTMLResponse:
    """Show the jobs, newest first."""
    jobs = JobService(pages.session).jobs
    after = query.last_key(query.name, (str,))
    found = jobs.listing(
        query.job_filter,
        after_id=None if after is None else str(after[0]),
        limit=query.limit + 1,
        oldest_first=query.oldest_first,
        without=LIGHT,
    )
    shown, next_cursor = cut(found, query, listing=query.name, key=lambda job: (job.id,))
    return pages.show(
        "jobs.html",
        rows=job_rows(pages.session, shown),
        listing=query,
        next_page=pages.address_with(cursor=next_cursor) if next_cursor else None,
        first_page=pages.address_with(cursor=None) if query.cursor else None,
        models=ModelService(pages.session).models.listing(before_id=None, limit=_MOST_CHOICES),
        datasets=DatasetService(pages.session).listing(after=None, limit=_MOST_CHOICES),
    )


@router.get("/jobs/{job_id}")
async def one_job_page(
    job_id: IdPath,
    request: Request,
    services: ServicesDep,
    query: Annotated[JobPageQuery, Query()],
) -> HTMLResponse:
    """Show a job, its results measured against a threshold."""
    facts = await run_in_threadpool(_facts, services, known_id("job", job_id))
    found = await findings.find(services.results, facts, query)
    return await run_in_threadpool(_show_job, request, services, found, query)


def _facts(services: Services, job_id: str) -> JobFacts:
    with snapshot(services) as session:
        return JobFacts.of(session, find_job(session, job_id), services.blobs)


def _show_job(request: Request, services: Services, found: Findings, query: JobPageQuery) -> HTMLResponse:
    with snapshot(services) as session:
        pages = Pages(request, session, services)
        return pages.show(
            "job.html",
            page=job_page(pages, found.facts.job_id, query.layer, query.hardware),
            results=result_table(found.summary.answer),
            found=found,
            limit=limit(found),
            layer_address=lambda name: pages.address_with(layer=name),
            summary=found.in_words(),
        )


@router.get("/compare")
def comparison_page(pages: PagesDep, query: Annotated[ComparePageQuery, Query()]) -> HTMLResponse:
    """Show jobs beside one another."""
    job = query.job
    if job is None or len(job) < 2:
        recent = JobRepository(pages.session).listing(JobFilter(), after_id=None, limit=_FEW, without=LIGHT)
        rows = job_rows(pages.session, recent)
        return pages.show("choose.html", rows=rows, chosen=job or [], most=MOST_JOBS)
    compared = CompareService(pages.session, pages.services.results, pages.services.blobs).compared(job)
    return pages.show("compare.html", page=compare_page(compared))


@router.get("/cost")
async def cost_page(
    request: Request, services: ServicesDep, query: Annotated[CostPageQuery, Query()]
) -> HTMLResponse:
    """Show the jobs of a tag by what an inference costs and by how well they do."""
    found = await costs_of_tag(services, query.tag, _MOST_PRICED)
    return await run_in_threadpool(_show_costs, request, services, found)


def _show_costs(request: Request, services: Services, found: TaggedCosts) -> HTMLResponse:
    with snapshot(services) as session:
        return Pages(request, session, services).show("cost.html", page=tagged_page(found))


@router.get("/new")
def new_job_page(pages: PagesDep, query: Annotated[NewJobQuery, Query()]) -> HTMLResponse:
    """Show the form of a new job."""
    if query.start_from is not None:
        known_id("job", query.start_from)
    return pages.show(
        "new.html",
        page=new_page(pages.session, query.start_from),
        start_from=query.start_from,
        model=query.model,
        dataset=query.dataset,
        preset=query.preset,
    )


@router.get("/models")
def models_page(pages: PagesDep, query: Annotated[ListPageQuery, Query()]) -> HTMLResponse:
    """Show the uploaded models, newest first."""
    after = query.last_key("models", (str,))
    rows = ModelService(pages.session).models.listing(
        before_id=None if after is None else str(after[0]), limit=query.limit + 1
    )
    rows, next_cursor = cut(rows, query, listing="models", key=lambda model: (model.id,))
    return pages.show(
        "models.html",
        models=[ModelView.of(row) for row in rows],
        next_page=pages.address_with(cursor=next_cursor) if next_cursor else None,
    )


@router.get("/models/{model_id}")
def one_model_page(model_id: IdPath, pages: PagesDep, _: Annotated[TableQuery, Query()]) -> HTMLResponse:
    """Show a model."""
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
def datasets_page(pages: PagesDep, query: Annotated[ListPageQuery, Query()]) -> HTMLResponse:
    """Show the datasets: uploaded ones, then built-in ones."""
    after = query.last_key("datasets", (str,))
    rows = DatasetService(pages.session).listing(
        after=None if after is None else str(after[0]), limit=query.limit + 1
    )
    shown, next_cursor = cut(rows, query, listing="datasets", key=lambda dataset: (dataset.id,))
    return pages.show(
        "datasets.html",
        datasets=shown,
        next_page=pages.address_with(cursor=next_cursor) if next_cursor else None,
    )


@router.get("/datasets/{dataset_id}")
def one_dataset_page(dataset_id: IdPath, pages: PagesDep, _: Annotated[TableQuery, Query()]) -> HTMLResponse:
    """Show a dataset."""
    dataset = DatasetService(pages.session).view(dataset_id)
    jobs = JobRepository(pages.session).listing(
        JobFilter(dataset=dataset.id), after_id=None, limit=_FEW, without=LIGHT
    )
    return pages.show("dataset.html", dataset=dataset, rows=job_rows(pages.session, jobs))


@router.get("/configs")
def configurations_page(pages: PagesDep, query: Annotated[ConfigsPageQuery, Query()]) -> HTMLResponse:
    """Show presets and stored configurations."""
    return pages.show("configs.html", page=configs_page(pages.session, query.show, query.against))


@router.get("/workers")
def worker_page(pages: PagesDep, _: Annotated[TableQuery, Query()]) -> HTMLResponse:
    """Show workers and the queue."""
    return pages.show("workers.html", page=workers_page(pages.session, pages.services.settings))


@router.get("/docs", openapi_extra=OPEN)
async def reference_page(request: Request, services: ServicesDep) -> HTMLResponse:
    """Show the API's reference, and the state of the service to those who may see it."""
    caller = await known_caller(request, services.access)
    return await run_in_threadpool(_show_reference, request, services, caller)


def _show_reference(request: Request, services: Services, caller: Caller | None) -> HTMLResponse:
    found = reference(request.app.openapi())
    if caller is None:
        return render(request, "reference.html", {"reference": found}, service=None)
    with snapshot(services) as session:
        return Pages(request, session, services).show("reference.html", reference=found)

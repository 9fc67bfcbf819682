"""`/v1/jobs`: HTTP only."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated

import anyio
from fastapi import APIRouter, Body, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.db.tables import Job
from app.engine.states import JobState
from app.jobs import views
from app.jobs.event_formats import EVENTS_CONTENT, EVENTS_MEDIA_TYPES, EventsFormat, EventsQuery
from app.jobs.events import EventStream
from app.jobs.listing import JobsQuery
from app.jobs.news import Since, read_news
from app.jobs.polls import Poll, read_polls
from app.jobs.repository import HEAVY, JobMark
from app.jobs.schemas import (
    LONGEST_WAIT_S,
    ArtifactsView,
    DryRunView,
    EventView,
    HistoryView,
    JobCreate,
    JobExtend,
    JobQuery,
    JobView,
    QueueView,
    SubmitQuery,
)
from app.jobs.service import Accepted, JobService
from app.kit import sse
from app.kit.etag import NOT_MODIFIED, Conditional, ConditionalDep, PreconditionDep, etag_of
from app.kit.fields import IdPath, known_id, not_found
from app.kit.files import FILE_RESPONSE, file_response
from app.kit.idempotency import IDEMPOTENCY_PROBLEMS, REPLAYED_HEADER, Once, OnceDep, json_answer
from app.kit.negotiation import negotiated
from app.kit.pagination import MOST_INTEGER, PAGE_HEADERS, Page, cut, link_next
from app.kit.polling import POLL_AGAIN_S, later, retry_later
from app.kit.problems import (
    Conflict,
    InvalidJson,
    NotAcceptable,
    NotFound,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    problem_responses,
)
from app.kit.routing import StrictRoute, plainly
from app.kit.transactions import ReadSession, WriteSession, after_commit, snapshot
from app.monitoring.logs import about
from app.services import Services, ServicesDep, services_of

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)

_EVENTS = "events"
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)  # RFC 7240


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses={
        200: {"model": DryRunView, "description": "What the job would be, with `dry_run`."},
        202: {"headers": REPLAYED_HEADER},
        **problem_responses(*IDEMPOTENCY_PROBLEMS, InvalidJson, TooLarge, UnsupportedMediaType),
    },
)
def submit_job(
    request: Annotated[JobCreate, Body()],
    query: Annotated[SubmitQuery, Query()],
    session: WriteSession,
    services: ServicesDep,
    once: OnceDep,
    cache_control: Annotated[str | None, Header(description="`no-cache`: compute everything anew.")] = None,
) -> Response:
    """Submit a job; it is stored before this answers, and computed by the workers.

    Cells that an earlier job with the same content has are taken over (`cached_from`).
    """
    settings, sizes = services.settings, services.sizes
    fresh = "no-cache" in (cache_control or "").lower()
    if query.dry_run:
        with snapshot(services) as reading:
            reader = JobService(reading)
            found = reader.dry_run(reader.accept(request, settings, sizes), settings, fresh=fresh)
        return json_answer(found, 200, {})
    return _submit(
        session, services, once, lambda reader: reader.accept(request, settings, sizes), fresh=fresh
    )


def _submit(
    session: Session,
    services: Services,
    once: Once,
    accept: Callable[[JobService], Accepted],
    *,
    fresh: bool = False,
) -> Response:
    """Have a request checked in a snapshot, which may take long, and then stored under the write lock."""

    def check() -> Accepted:
        with snapshot(services) as reading:
            return accept(JobService(reading))

    def store(accepted: Accepted) -> Response:
        job = JobService(session).submit(accepted, services.settings, services.blobs, fresh=fresh)
        return _accepted(job, session, services)

    return once.do_checked(check, store, find=JobService(session).jobs.get)


def _log_submission(job: Job) -> None:
    with about(job=job.id):
        log.info("it was submitted and is %s", job.state)


def _accepted(job: Job, session: Session, services: Services) -> Response:
    after_commit(session, services.doorbell.ring)
    after_commit(session, partial(_log_submission, job))
    session.flush()
    queue = JobService(session).queue(job, services.settings)
    headers = {
        "Location": f"/v1/jobs/{job.id}",
        "Retry-After": POLL_AGAIN_S,
        "ETag": views.job_tag(job, queue),
    }
    return json_answer(views.job_view(job, queue), 202, headers)


@router.get("", response_model=Page[JobView], responses=PAGE_HEADERS)
def list_jobs(
    request: Request,
    response: Response,
    session: ReadSession,
    query: Annotated[JobsQuery, Query()],
) -> Page[JobView] | Response:
    """List jobs, newest first; several conditions all hold.

    Each job is whole, its configuration included, unless `fields` says what of it is wanted.
    """
    after, fields = query.last_key(query.name, (str,)), query.shown_fields
    rows = JobService(session).jobs.listing(
        query.job_filter,
        after_id=None if after is None else str(after[0]),
        limit=query.limit + 1,
        oldest_first=query.oldest_first,
        without=() if fields is None else HEAVY - fields,
    )
    rows, next_cursor = cut(rows, query, listing=query.name, key=lambda job: (job.id,))
    link_next(request, response, next_cursor)
    if fields is None:
        return Page(items=[views.job_view(job) for job in rows], next_cursor=next_cursor)
    items = [views.job_fields(job, fields) for job in rows]
    return JSONResponse({"items": items, "next_cursor": next_cursor}, headers=dict(response.headers))


async def _get_job_plainly(request: Request) -> Response | None:
    """Answer as `get_job` a request that does not wait."""
    if "prefer" in request.headers:
        return None
    conditional = Conditional(request.headers.get("if-none-match"))
    job, queue = await _polled(await services_of(request), request.path_params["job_id"], conditional)
    return _job_answer(job, queue, conditional)


@router.get("/{job_id}", response_model=JobView, responses={**problem_responses(NotFound), **NOT_MODIFIED})
@plainly(_get_job_plainly)
async def get_job(
    job_id: IdPath,
    request: Request,
    services: ServicesDep,
    conditional: ConditionalDep,
    query: Annotated[JobQuery, Query()],
    prefer: Annotated[str | None, Header(description="`wait=n` is as `?wait=n`, of at most 60 s.")] = None,
) -> Response:
    """Return a job; its entity tag changes with every cell, epoch and state.

    With `wait`, a client that holds the newest version gets its answer when there is another one, or a 304
    when the time is up. A job that has ended has no other version to wait for.
    """
    preferred, wait, headers = _WAIT.search(prefer or ""), query.wait, {}
    if preferred is not None and not wait:
        wait = min(float(preferred[1]), LONGEST_WAIT_S)
        headers["Preference-Applied"] = f"wait={wait:g}"
    job, queue = await _polled(services, job_id, conditional)
    if wait and not views.has_ended(job) and conditional.holds(views.job_tag(job, queue)):
        permit = services.permits.of(request)
        with anyio.move_on_after(wait) as waiting, permit.ending(waiting.cancel):
            await services.watch.beyond(job.id, job.version)
        if permit.fault is not None:
            raise permit.fault
        job, queue = await _polled(services, job_id, conditional)
    return _job_answer(job, queue, conditional, **headers)


async def _polled(
    services: Services, job_id: str, conditional: Conditional
) -> tuple[Job | JobMark, QueueView | None]:
    """Return a job with what it waits for; its mark is enough where the client holds this version."""
    job = await services.together(read_polls).ask(Poll(known_id("job", job_id), conditional))
    if job is None:
        raise not_found("job", job_id)
    if job.state != JobState.QUEUED:
        return job, None
    return await run_in_threadpool(_read_job_and_queue, services, job_id)


def _job_answer(
    job: Job | JobMark, queue: QueueView | None, conditional: Conditional, **headers: str
) -> Response:
    headers |= {"ETag": views.job_tag(job, queue), **later(ended=views.has_ended(job))}
    if isinstance(job, JobMark) or conditional.holds(headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return json_answer(views.job_view(job, queue), 200, headers)


def _read_job_and_queue(services: Services, job_id: str) -> tuple[Job, QueueView | None]:
    with snapshot(services) as session:
        service = JobService(session)
        job = service.get(job_id)
        return job, service.queue(job, services.settings)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=JobView,
    responses={202: {"headers": REPLAYED_HEADER}, **problem_responses(*IDEMPOTENCY_PROBLEMS, NotFound)},
)
def retry_job(job_id: IdPath, session: WriteSession, services: ServicesDep, once: OnceDep) -> Response:
    """Submit a failed or cancelled job again, as a new job; what it had computed is taken over."""
    known_id("job", job_id)
    settings, sizes = services.settings, services.sizes
    return _submit(session, services, once, lambda reader: reader.accept_retry(job_id, settings, sizes))


@router.post(
    "/{job_id}/extend",
    status_code=202,
    response_model=JobView,
    responses={
        202: {"headers": REPLAYED_HEADER},
        **problem_responses(*IDEMPOTENCY_PROBLEMS, NotFound, InvalidJson, TooLarge, UnsupportedMediaType),
    },
)
def extend_job(
    job_id: IdPath,
    more: Annotated[JobExtend, Body()],
    session: WriteSession,
    services: ServicesDep,
    once: OnceDep,
) -> Response:
    """Submit a finished job with more repeats or times, as a new job; only the new cells are computed."""
    known_id("job", job_id)
    settings, sizes = services.settings, services.sizes
    return _submit(
        session,
        services,
        once,
        lambda reader: reader.accept_extension(job_id, more, settings, sizes),
    )


@router.post("/{job_id}/cancel", status_code=202, responses=problem_responses(NotFound, Conflict))
def cancel_job(job_id: IdPath, session: WriteSession) -> JobView:
    """Cancel a job: at once when nothing of it runs, else as soon as its runners stop. Cells stay."""
    return views.job_view(JobService(session).cancel(known_id("job", job_id)))


@router.delete(
    "/{job_id}", status_code=204, responses=problem_responses(NotFound, Conflict, PreconditionFailed)
)
def delete_job(
    job_id: IdPath, session: WriteSession, services: ServicesDep, precondition: PreconditionDep
) -> None:
    """Delete a job that has ended, with its results and files."""
    service = JobService(session)
    job = service.locked(known_id("job", job_id))
    precondition.require(lambda: views.job_tag(job, None))
    prefix = service.delete(job_id)
    after_commit(session, lambda: services.blobs.delete_folder(prefix))


@router.get(
    "/{job_id}/history",
    response_model=HistoryView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def get_job_history(
    job_id: IdPath, response: Response, session: ReadSession, conditional: ConditionalDep
) -> HistoryView | Response:
    """Return the fine-tuning epochs."""
    service = JobService(session)
    job = service.get(known_id("job", job_id))
    retry_later(response, ended=views.has_ended(job))
    view = views.history_view(job, service.jobs.epochs(job.id))
    return conditional.not_modified(etag_of(view), response) or view


@router.get(
    "/{job_id}/events",
    response_model=Page[EventView],
    responses={
        200: EVENTS_CONTENT,
        204: {"description": "As a stream: the job has ended, and the client has all of its events."},
        **problem_responses(NotFound, NotAcceptable),
    },
)
async def list_job_events(
    job_id: IdPath,
    request: Request,
    response: Response,
    services: ServicesDep,
    query: Annotated[EventsQuery, Query()],
    last_event_id: Annotated[
        int | None,
        Header(ge=0, le=MOST_INTEGER, description="Goes on with a stream after this event; before `after`."),
    ] = None,
) -> Page[EventView] | Response:
    """List what happened to the job, in order; an event's number is the job's version at the time.

    With `Accept: text/event-stream` the events come as they happen, from any on, until the job has ended:
    `id` is the number, `event` the type, `data` the JSON that the list has too.
    """
    known_id("job", job_id)
    response.headers["Vary"] = "Accept"
    if negotiated(request, EVENTS_MEDIA_TYPES, what="events") is EventsFormat.STREAM:
        settings = services.settings
        stream = EventStream(
            services.together(read_news, requires_schema=False),
            services.watch,
            Since(job_id, query.after if last_event_id is None else last_event_id),
            permit=services.permits.of(request),
            heartbeat_s=settings.stream_heartbeat_s,
            lifetime_s=settings.stream_lifetime_s,
        )
        # A 204 keeps browsers from reconnecting.
        return Response(status_code=204) if await stream.is_over() else sse.respond(stream.frames())
    return await run_in_threadpool(_events_page, request, response, services, job_id, query)


def _events_page(
    request: Request, response: Response, services: Services, job_id: str, query: EventsQuery
) -> Page[EventView]:
    with snapshot(services) as session:
        service = JobService(session)
        job = service.get(job_id)
        last = query.last_key(_EVENTS, (int,))
        rows = service.jobs.events(
            job.id, after_seq=max(query.after, int(last[0]) if last else 0), limit=query.limit + 1
        )
    rows, next_cursor = cut(rows, query, listing=_EVENTS, key=lambda event: (event.seq,))
    link_next(request, response, next_cursor)
    retry_later(response, ended=views.has_ended(job))
    return Page(items=[views.event_view(event) for event in rows], next_cursor=next_cursor)


@router.get(
    "/{job_id}/artifacts",
    response_model=ArtifactsView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def list_job_artifacts(
    job_id: IdPath, response: Response, session: ReadSession, conditional: ConditionalDep
) -> ArtifactsView | Response:
    """List the files that the job made."""
    service = JobService(session)
    job = service.get(known_id("job", job_id))
    view = views.artifacts_view(job, service.jobs.artifacts(job.id))
    return conditional.not_modified(etag_of(view), response) or view


@router.get(
    "/{job_id}/artifacts/{name}",
    response_class=FileResponse,
    responses={**FILE_RESPONSE, **problem_responses(NotFound), **NOT_MODIFIED},
)
def get_job_artifact(
    job_id: IdPath,
    name: Annotated[str, Path(max_length=128, description="Name of the file, as the list has it.")],
    response: Response,
    session: ReadSession,
    services: ServicesDep,
    conditional: ConditionalDep,
) -> Response:
    """Return a file that the job made; ranges are honoured."""
    found = JobService(session).artifact(known_id("job", job_id), name)
    return file_response(
        lambda: services.blobs.fetch(found.blob_key, sha256=found.sha256),
        sha256=found.sha256,
        filename=found.name,
        media_type=found.media_type,
        conditional=conditional,
        response=response,
    )

"""HTTP of datasets."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.datasets.formats import MEDIA_TYPES, format_of
from app.datasets.repository import DatasetRepository
from app.datasets.samples import draw
from app.datasets.schemas import DatasetQuery, DatasetView, SamplesFormat, SamplesQuery, SamplesView
from app.datasets.service import DatasetService, identity_of
from app.db.ids import new_id
from app.db.tables import Dataset
from app.kit.etag import NOT_MODIFIED, ConditionalDep, PreconditionDep, etag_of
from app.kit.negotiation import negotiated
from app.kit.openapi import UPLOAD_RESPONSES
from app.kit.pagination import PAGE_HEADERS, Page, PageQuery, cut, link_next
from app.kit.problems import Conflict, NotAcceptable, NotFound, PreconditionFailed, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession, WriteSession, after_commit, snapshot
from app.kit.uploads import client_of, receive_upload, upload_openapi
from app.services import Services, ServicesDep
from app.uploads import store_upload
from app.usage.quotas import Quotas

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute)

_LISTING = "datasets"
_SAMPLES = {"application/json": SamplesFormat.JSON, "image/svg+xml": SamplesFormat.SVG}
_DatasetIdPath = Annotated[
    str,
    Path(description="Its id; those of built-in ones start with `builtin:`.", examples=["builtin:mnist10k"]),
]


@router.post(
    "",
    status_code=201,
    summary="Upload a dataset",
    response_model=DatasetView,
    responses={
        200: {"model": DatasetView, "description": "These bytes, split so, are known: the dataset they are."},
        **UPLOAD_RESPONSES,
    },
    openapi_extra=upload_openapi(MEDIA_TYPES),
)
async def upload_dataset(
    request: Request, response: Response, services: ServicesDep, query: Annotated[DatasetQuery, Query()]
) -> DatasetView:
    """Store a file after a look into it, in a limited process.

    `.npz` and `.safetensors` hold `x_train, y_train, x_test, y_test`, or `x, y` with `?test_fraction=` and
    `?seed=`. Further inputs of the network are `x_<input name>_train` and `x_<input name>_test`. Tables,
    `.csv` and `.parquet`, hold a sample per row: the target is the column `y`, `label`, `target` or `class`,
    the other columns are features; a column `split` may say `train` or `test`.
    """
    async with receive_upload(request, services, media_types=MEDIA_TYPES, what="dataset") as upload:
        file_format, options = format_of(upload.media_type, upload.filename), query.options
        known = await run_in_threadpool(_known, services, identity_of(upload.sha256, file_format, options))
        if known is not None:
            return _answer(response, known, 200)
        report = await services.inspector.inspect(
            "simulator.data",
            upload.path,
            "--format",
            file_format,
            *_arguments(options),
            too_complex="dataset_too_complex",
            client=client_of(request),
        )

        def store(session: Session) -> tuple[Dataset, bool]:
            Quotas(session, services.settings).require_room_for_bytes(upload.size_bytes)
            return DatasetService(session).store(
                upload,
                name=query.name,
                file_format=file_format,
                options=options,
                report=report,
                blob_key=key,
                is_stored=services.blobs.exists,
            )

        key = f"datasets/{new_id()}"
        dataset, is_new = await run_in_threadpool(store_upload, services, upload, key, store)
        return _answer(response, dataset, 201 if is_new else 200)


@router.get("", summary="List datasets", responses=PAGE_HEADERS)
def list_datasets(
    request: Request, response: Response, session: ReadSession, page: Annotated[PageQuery, Query()]
) -> Page[DatasetView]:
    """List datasets: uploaded ones, newest first, then built-in ones."""
    after = page.last_key(_LISTING, (str,))
    views = DatasetService(session).listing(
        after=None if after is None else str(after[0]), limit=page.limit + 1
    )
    kept, next_cursor = cut(views, page, listing=_LISTING, key=lambda view: (view.id,))
    link_next(request, response, next_cursor)
    return Page(items=list(kept), next_cursor=next_cursor)


@router.get(
    "/{dataset_id}",
    summary="Get a dataset",
    response_model=DatasetView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def get_dataset(
    dataset_id: _DatasetIdPath, response: Response, session: ReadSession, conditional: ConditionalDep
) -> Any:
    """Return what is known of a dataset."""
    view = DatasetService(session).view(dataset_id)
    return conditional.not_modified(etag_of(view), response) or view


@router.get(
    "/{dataset_id}/samples",
    summary="Look at a few samples",
    response_model=SamplesView,
    responses={
        200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}},
        **problem_responses(NotFound, NotAcceptable),
        **NOT_MODIFIED,
    },
)
def get_dataset_samples(
    dataset_id: _DatasetIdPath,
    request: Request,
    response: Response,
    session: ReadSession,
    conditional: ConditionalDep,
    query: Annotated[SamplesQuery, Query()],
) -> Any:
    """Return the first training samples, as the look into the file at its upload found them."""
    form = negotiated(request, _SAMPLES, what="samples", asked=query.format)
    view = DatasetService(session).samples(dataset_id, query.n)
    response.headers["Vary"] = "Accept"
    unchanged = conditional.not_modified(etag_of(f"{form} {view.model_dump_json()}"), response)
    if unchanged is not None or form is SamplesFormat.JSON:
        return unchanged or view
    headers = {"ETag": response.headers["ETag"], "Vary": "Accept"}
    return Response(draw(view), media_type="image/svg+xml", headers=headers)


@router.delete(
    "/{dataset_id}",
    status_code=204,
    summary="Delete a dataset",
    responses=problem_responses(NotFound, Conflict, PreconditionFailed),
)
def delete_dataset(
    dataset_id: _DatasetIdPath, session: WriteSession, services: ServicesDep, precondition: PreconditionDep
) -> None:
    """Delete an uploaded dataset that no job is on; ended jobs count, since their results refer to it."""
    service = DatasetService(session)
    view = service.view(dataset_id)
    precondition.require(lambda: etag_of(view))
    key = service.delete(dataset_id)
    if key is not None:
        after_commit(session, lambda: services.blobs.delete(key))


def _known(services: Services, identity: str) -> Dataset | None:
    with snapshot(services) as session:
        return DatasetRepository(session).with_identity(identity)


def _arguments(options: dict[str, Any]) -> list[str]:
    """Return the options as the command line of the look into a file takes them."""
    return [
        f"--{name.replace('_', '-')}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in options.items()
    ]


def _answer(response: Response, dataset: Dataset, status_code: int) -> DatasetView:
    response.status_code = status_code
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return DatasetView.of(dataset)

"""HTTP of models."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.db.ids import new_id
from app.db.tables import Model
from app.kit.etag import NOT_MODIFIED, ConditionalDep, PreconditionDep, etag_of
from app.kit.fields import IdPath, known_id
from app.kit.files import FILE_RESPONSE, file_response
from app.kit.openapi import UPLOAD_RESPONSES
from app.kit.pagination import PAGE_HEADERS, Page, PageQuery, cut, link_next
from app.kit.problems import Conflict, NotFound, PreconditionFailed, problem_responses
from app.kit.routing import StrictRoute
from app.kit.transactions import ReadSession, WriteSession, after_commit, snapshot
from app.kit.uploads import OCTET_STREAM, client_of, receive_upload, upload_openapi
from app.models.foreign import refuse_foreign
from app.models.repository import ModelRepository
from app.models.schemas import ModelQuery, ModelView
from app.models.service import ModelService, identity_of, is_up_to_date
from app.services import Services, ServicesDep
from app.uploads import store_upload
from app.usage.quotas import Quotas

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)

_LISTING = "models"
_MEDIA_TYPES = (OCTET_STREAM, "application/onnx", "application/x-onnx", "application/zip")


@router.post(
    "",
    status_code=201,
    summary="Upload a model",
    response_model=ModelView,
    responses={
        200: {"model": ModelView, "description": "These bytes are known: the model they are."},
        **UPLOAD_RESPONSES,
    },
    openapi_extra=upload_openapi(_MEDIA_TYPES),
)
async def upload_model(
    request: Request,
    response: Response,
    services: ServicesDep,
    query: Annotated[ModelQuery, Query()],
) -> ModelView:
    """Store an ONNX file after a look into it, in a limited process.

    Rejections: `not_onnx`, `external_data_forbidden`, `unsupported_operator` (with every offending node),
    `non_finite_weights`, `model_too_complex`.
    """
    async with receive_upload(request, services, media_types=_MEDIA_TYPES, what="model") as upload:
        identity = identity_of(upload.sha256, query.outputs)
        known = await run_in_threadpool(_known, services, identity)
        if known is not None and is_up_to_date(known):
            return _answer(response, known, 200)
        await run_in_threadpool(refuse_foreign, upload.path)
        report = await services.inspector.inspect(
            "simulator.onnx",
            upload.path,
            *(() if query.outputs is None else (f"--outputs={query.outputs}",)),
            too_complex="model_too_complex",
            client=client_of(request),
        )

        def store(session: Session) -> tuple[Model, bool]:
            Quotas(session, services.settings).require_room_for_bytes(upload.size_bytes)
            return ModelService(session).store(
                upload,
                identity=identity,
                name=query.name,
                report=report,
                blob_key=key,
                is_stored=services.blobs.exists,
            )

        key = f"models/{new_id()}"
        model, is_new = await run_in_threadpool(store_upload, services, upload, key, store)
        return _answer(response, model, 201 if is_new else 200)


@router.get("", summary="List models", responses=PAGE_HEADERS)
def list_models(
    request: Request, response: Response, session: ReadSession, page: Annotated[PageQuery, Query()]
) -> Page[ModelView]:
    """List models, newest first."""
    after = page.last_key(_LISTING, (str,))
    rows = ModelRepository(session).listing(
        before_id=None if after is None else str(after[0]), limit=page.limit + 1
    )
    rows, next_cursor = cut(rows, page, listing=_LISTING, key=lambda model: (model.id,))
    link_next(request, response, next_cursor)
    return Page(items=[ModelView.of(model) for model in rows], next_cursor=next_cursor)


@router.get(
    "/{model_id}",
    summary="Get a model",
    response_model=ModelView,
    responses={**problem_responses(NotFound), **NOT_MODIFIED},
)
def get_model(model_id: IdPath, response: Response, session: ReadSession, conditional: ConditionalDep) -> Any:
    """Return what is known of a model."""
    view = ModelView.of(ModelService(session).get(known_id("model", model_id)))
    return conditional.not_modified(etag_of(view), response) or view


@router.get(
    "/{model_id}/content",
    summary="Download a model",
    response_class=FileResponse,
    responses={**FILE_RESPONSE, **problem_responses(NotFound), **NOT_MODIFIED},
)
def get_model_content(
    model_id: IdPath,
    response: Response,
    session: ReadSession,
    services: ServicesDep,
    conditional: ConditionalDep,
) -> Response:
    """Return the file as it was uploaded; ranges are honoured."""
    model = ModelService(session).get(known_id("model", model_id))
    return file_response(
        lambda: services.blobs.fetch(model.blob_key, sha256=model.report["sha256"]),
        sha256=model.report["sha256"],
        filename=f"{model.name}.onnx",
        media_type=OCTET_STREAM,
        conditional=conditional,
        response=response,
    )


@router.delete(
    "/{model_id}",
    status_code=204,
    summary="Delete a model",
    responses=problem_responses(NotFound, Conflict, PreconditionFailed),
)
def delete_model(
    model_id: IdPath, session: WriteSession, services: ServicesDep, precondition: PreconditionDep
) -> None:
    """Delete a model that no job is on; ended jobs count, since their results refer to it."""
    service = ModelService(session)
    model = service.get(known_id("model", model_id))
    precondition.require(lambda: etag_of(ModelView.of(model)))
    key = service.delete(model_id)
    if key is not None:
        after_commit(session, lambda: services.blobs.delete(key))


def _known(services: Services, identity: str) -> Model | None:
    with snapshot(services) as session:
        return ModelRepository(session).with_content(identity)


def _answer(response: Response, model: Model, status_code: int) -> ModelView:
    response.status_code = status_code
    response.headers["Location"] = f"/v1/models/{model.id}"
    return ModelView.of(model)

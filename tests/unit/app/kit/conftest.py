"""A small application of strict routes, with the kit's own handlers and middleware."""

from dataclasses import asdict
from typing import Annotated

import pytest
from fastapi import APIRouter, Body, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.db.blobs import FolderBlobs
from app.db.schema import SchemaGuard
from app.db.session import Database
from app.db.tables import JobTag
from app.engine.broker import Doorbell, make_celery
from app.engine.watch import JobWatch
from app.keys.gate import Gate
from app.kit import handlers, openapi
from app.kit.etag import ConditionalDep
from app.kit.files import file_response
from app.kit.inspection import Inspector
from app.kit.middleware import RequestIdMiddleware
from app.kit.problems import Conflict
from app.kit.query import QueryModel
from app.kit.routing import StrictRoute
from app.kit.transactions import WriteSession, after_commit
from app.kit.uploads import OCTET_STREAM, receive_upload
from app.results.reader import ResultReader
from app.services import Services, ServicesDep
from app.settings import Settings
from simulator.config.base import StrictModel
from tests.unit.app.conftest import LOCAL, TestClient


class Wheel(StrictModel):
    diameter_mm: float = Field(gt=0)


class Cart(StrictModel):
    name: str = "cart"
    wheels: list[Wheel] = Field(default_factory=list)
    load_kg: int | None = None


class CartQuery(QueryModel):
    speed: int = Field(default=0, ge=0)


class TagQuery(QueryModel):
    fail: bool = False


router = APIRouter(prefix="/v1", route_class=StrictRoute)


@router.post("/carts")
def make_cart(cart: Cart, query: Annotated[CartQuery, Query()]) -> Cart:
    return cart


@router.post("/anything")
def take_anything(body: Annotated[dict, Body()]) -> int:
    return len(body)


@router.get("/boom")
def fail() -> int:
    raise RuntimeError("secret detail")


@router.get("/locked")
def find_locked() -> int:
    raise OperationalError("SELECT secret", {}, Exception("database is locked"))


@router.get("/full")
def find_full() -> int:
    raise OSError(28, "No space left on device")


@router.post("/files")
async def take_file(request: Request, services: ServicesDep) -> dict:
    async with receive_upload(request, services, media_types=[OCTET_STREAM], what="file") as upload:
        return {**asdict(upload), "path": upload.path.name, "label": upload.label("file")}


@router.get("/files/{sha256}", response_class=FileResponse)
def send_file(
    sha256: str, services: ServicesDep, conditional: ConditionalDep, response: Response
) -> Response:
    return file_response(
        lambda: services.blobs.fetch("thing"),
        sha256=sha256,
        filename="thing.bin",
        media_type=OCTET_STREAM,
        conditional=conditional,
        response=response,
    )


@router.post("/tags/{job_id}")
def add_tag(
    job_id: str, session: WriteSession, services: ServicesDep, query: Annotated[TagQuery, Query()]
) -> str:
    after_commit(session, lambda: services.blobs.write("done", b"yes"))
    session.execute(text("PRAGMA defer_foreign_keys = ON"))  # the commit, not the insert, finds the fault
    session.add(JobTag(job_id=job_id, tag="new"))
    session.flush()
    if query.fail:
        raise Conflict("the endpoint refuses")
    return "added"


@pytest.fixture
def services(settings: Settings) -> Services:
    database = Database(settings.resolved_database_url)
    yield Services(
        settings,
        database,
        FolderBlobs(settings.data_dir / "blobs"),
        SchemaGuard(database),
        Doorbell(make_celery(settings)),
        Inspector(settings.inspection_timeout_s),
        JobWatch(database, settings.watch_interval_s),
        ResultReader(database),
        Gate(settings, database),
    )
    database.dispose()


@pytest.fixture
def small_app(services) -> FastAPI:
    app = FastAPI(
        redirect_slashes=False,
        responses=openapi.COMMON_RESPONSES,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.services = services
    app.add_middleware(RequestIdMiddleware)
    handlers.install(app)
    openapi.describe(app)
    app.include_router(router)
    return app


@pytest.fixture
def small(small_app):
    with TestClient(small_app, LOCAL, raise_server_exceptions=False) as client:
        yield client

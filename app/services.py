"""What the endpoints work with, made once at start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from app.cost.sizes import SizeReader
from app.db.blobs import BlobStore
from app.db.schema import SchemaGuard
from app.db.session import Database
from app.db.tables import Job
from app.engine.broker import Doorbell
from app.engine.watch import JobWatch
from app.jobs.news import News, Since, read_news
from app.jobs.polls import Poll, read_polls
from app.jobs.repository import JobMark
from app.kit.access import Access
from app.kit.inspection import Inspector
from app.kit.permits import Permits
from app.kit.together import Together
from app.kit.transactions import require_schema
from app.kit.uploads import UploadPlaces
from app.monitoring.metrics import ApiMetrics
from app.results.reader import ResultReader
from app.settings import Settings

_JOBS_AT_ONCE = 50  # that are read together


@dataclass(frozen=True)
class Services:
    """What lives as long as the application."""

    settings: Settings
    database: Database
    blobs: BlobStore
    schema: SchemaGuard
    doorbell: Doorbell
    inspector: Inspector
    watch: JobWatch
    results: ResultReader
    access: Access
    metrics: ApiMetrics = field(default_factory=ApiMetrics)

    @cached_property
    def uploads(self) -> UploadPlaces:
        """The places for uploads."""
        settings = self.settings
        return UploadPlaces(settings.max_uploads_at_once, wait_s=settings.upload_read_timeout_s / 2)

    @cached_property
    def sizes(self) -> SizeReader:
        """What looks at models with the sizes of datasets' samples."""
        return SizeReader(self.inspector, self.blobs)

    @cached_property
    def polls(self) -> Together[Poll, Job | JobMark | None]:
        """Reads for those who poll."""

        def read(session: Session, polls: Sequence[Poll]) -> dict[Poll, Job | JobMark | None]:
            require_schema(self)
            return read_polls(session, polls)

        return Together(self.database, read, most=_JOBS_AT_ONCE)

    @cached_property
    def news(self) -> Together[Since, News | None]:
        """Reads for event streams."""
        return Together(self.database, read_news, most=_JOBS_AT_ONCE)

    @cached_property
    def permits(self) -> Permits:
        """What lets in requests that last."""
        return Permits(self.access)


async def services_of(connection: HTTPConnection) -> Services:
    """Return the services of the application that the request came to.

    A coroutine, as every dependency that waits for nothing: FastAPI takes others to a thread and back.
    """
    services: Services = connection.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]

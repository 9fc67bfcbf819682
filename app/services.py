"""What the endpoints work with, made once at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection

from app.cost.sizes import SizeReader
from app.db.blobs import BlobStore
from app.db.schema import SchemaGuard
from app.db.session import Database
from app.engine.broker import Doorbell
from app.engine.watch import JobWatch
from app.kit.access import Access
from app.kit.inspection import Inspector
from app.kit.permits import Permits
from app.kit.together import AnswerT, QuestionT, Together
from app.kit.transactions import require_schema
from app.kit.uploads import UploadPlaces
from app.monitoring.metrics import ApiMetrics
from app.results.reader import ResultReader
from app.settings import Settings

_READ_TOGETHER = 50  # questions at most


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
    _together: dict[Any, Together[Any, Any]] = field(default_factory=dict)

    @cached_property
    def uploads(self) -> UploadPlaces:
        """The places for uploads."""
        settings = self.settings
        return UploadPlaces(settings.max_uploads_at_once, wait_s=settings.upload_read_timeout_s / 2)

    @cached_property
    def sizes(self) -> SizeReader:
        """What looks at models with the sizes of datasets' samples."""
        return SizeReader(self.inspector, self.blobs)

    def together(
        self,
        read: Callable[[Session, Sequence[QuestionT]], Mapping[QuestionT, AnswerT]],
        *,
        requires_schema: bool = True,
    ) -> Together[QuestionT, AnswerT]:
        """Return what does reads of one kind together; it is the same one for the same function.

        Args:
            read: answers questions in a session (`Together`).
            requires_schema: whether it refuses to read from a database whose schema is another one.
        """

        def checked(session: Session, questions: Sequence[QuestionT]) -> Mapping[QuestionT, AnswerT]:
            if requires_schema:
                require_schema(self)
            return read(session, questions)

        if read not in self._together:
            self._together[read] = Together(self.database, checked, most=_READ_TOGETHER)
        return self._together[read]

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

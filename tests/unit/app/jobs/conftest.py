"""A job with items, as the engine's tests need it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.db.ids import new_id
from app.db.session import Database
from app.db.tables import Job, Model, WorkItem
from app.jobs.repository import JobRepository

MakeJob = Callable[..., str]


@pytest.fixture
def make_job(database: Database) -> MakeJob:
    """Store a queued job with the given items: (key, needs) pairs."""

    def make(*items: tuple[str, list[str]], priority: int = 0) -> str:
        with database.transaction() as session:
            model = Model(
                name="m", sha256=new_id().replace("-", "") * 2, size_bytes=1, blob_key="models/m", report={}
            )
            session.add(model)
            session.flush()
            job = Job(
                state="queued",
                spec={},
                effective_config={},
                config_hash="0" * 64,
                execution={},
                tags=[],
                warnings=[],
                seed=1,
                model_id=model.id,
                dataset_ref="builtin:digits",
                priority=priority,
                progress_total=100 * len(items),
            )
            rows = [
                WorkItem(
                    key=key,
                    kind=key.partition(":")[0],
                    payload={"variant": "hwa"},
                    needs=needs,
                    state="blocked" if needs else "queued",
                    progress_total=100,
                )
                for key, needs in items
            ]
            JobRepository(session).add(job, rows, {})
            return job.id

    return make

"""A rolling restart over a migration: the old version goes on beside the new one, refuses, and says so.

The old version is this code as it is. The new one is the same code that expects the next revision, and the
migration between them adds a column, as most do: so the test needs no other commit.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.db.session import Database
from driftline import Driftline
from tests.acceptance.conftest import MODEL, StartService, finished, small_job
from tests.waiting import until
from worker.local import LocalService

NEXT = "9999"
NEXT_VERSION = {
    "DRIFTLINE_TEST_REVISION": NEXT,
    "PYTHONPATH": str(Path(__file__).with_name("next_version")),
}
EVALUATE = {
    "t_inference": [1, 3600, 31536000], "repeats": 60, "max_samples": 200, "batch_size": 100,
    "variants": ["digital", "direct"],
}  # fmt: skip


def migrate_to_next(service: LocalService, backend: dict[str, Any]) -> None:
    url = backend.get("database_url") or f"sqlite:///{service.data_dir.absolute() / 'driftline.db'}"
    database = Database(url.replace("postgresql://", "postgresql+psycopg://"))
    with database.transaction() as session:
        session.execute(text("ALTER TABLE jobs ADD COLUMN of_the_next_version TEXT"))
        session.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": NEXT})
    database.dispose()


@contextmanager
def next_api(service: LocalService) -> Iterator[str]:
    """Run an API of the next version beside the old one; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "app", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--no-access-log", "--log-level", "warning"], env=service._environment
    )
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/healthz/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    try:
        until(is_ready, "the next version's API to be ready")
        yield url
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("backend", ["sqlite, embedded broker", "PostgreSQL, Redis"], indirect=True)
def test_a_rolling_restart_over_a_migration_loses_no_job_and_no_cell(
    start_service: StartService, backend: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with start_service(**backend, repeats_per_shard=2) as (service, old):
        old_api, old_worker = service.process_id("api"), service.process_id("worker 0")
        model = old.upload_model(MODEL).id
        job = small_job(model, finetune=None, evaluate=EVALUATE)
        running = old.submit(job).id
        waiting = old.submit({**job, "seed": 8, "priority": -5}).id
        until(lambda: len(old.results(running, cells=True)["cells"]) >= 6, "the first cells")
        migrate_to_next(service, backend)
        service.set_environment(**NEXT_VERSION)
        service.start_worker("worker of the next version")
        with next_api(service) as url, Driftline(url) as new:
            # Old and new run side by side: the old API refuses, and the old worker takes nothing more.
            refused = until(
                lambda: (answer := httpx.get(f"{service.url}/v1/jobs")).status_code == 503 and answer,
                "the old API to refuse",
            )
            assert refused.json()["code"] == "schema_mismatch"
            assert f"the schema {NEXT}, newer than this version's" in refused.json()["detail"]
            assert httpx.get(f"{service.url}/healthz/live").is_success

            told: list[str] = []

            def has_said() -> bool:
                told.append(capfd.readouterr().err)
                return f"takes no work: the database has the schema {NEXT}, newer" in "".join(told)

            until(has_said, "the old worker to say so")
            for pid in (old_worker, old_api):
                service.abandon(pid)
                os.kill(pid, signal.SIGTERM)
            found = {job_id: finished(new, job_id)["cells"] for job_id in (running, waiting)}
            for job_id, cells in found.items():
                assert len(cells) == 60 * 3
                assert new.job(job_id)["attempt"] == 1
            again = new.submit(job, fresh=True).id
            assert finished(new, again)["cells"] == found[running]

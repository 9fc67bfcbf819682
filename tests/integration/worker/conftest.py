"""A desk for one worker: a database, a real zygote, a supervisor with short times, and jobs of fake items."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.db.ids import new_id
from app.db.session import Database
from app.db.tables import Event, Job, Model, WorkItem
from app.engine.items import claims
from app.engine.items.leases import Lease
from app.settings import Settings
from tests.waiting import until
from worker.supervision.handle import ZygoteHandle
from worker.supervision.supervisor import Outcome, Supervisor

from .handlers import KIND

FAKE_ZYGOTE = "tests.integration.worker.fake_zygote"
DEADLINE_S = 30.0
OWNER = "a worker"
REQUIRED = "cpu/plain"


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; one that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def store_job(
    database: Database,
    folder: Path,
    *does: list[str],
    requires: str = REQUIRED,
    needs: dict[int, list[str]] | None = None,
    **payload: Any,
) -> str:
    """Store a queued job of fake items, `fake:0` and on; return its id."""
    with database.transaction() as session:
        model = Model(name="m", sha256=new_id().replace("-", "") * 2, size_bytes=1, blob_key="m", report={})
        session.add(model)
        session.flush()
        job = Job(
            state="queued", spec={"device": "cpu", "task": "classification"}, effective_config={}, config_hash="0" * 64,
            execution={"threads": 1, "loops": "plain"}, tags=[], warnings=[], seed=1, model_id=model.id,
            dataset_ref="builtin:digits", progress_total=len(does),
        )  # fmt: skip
        session.add(job)
        session.flush()
        for number, steps in enumerate(does):
            needed = (needs or {}).get(number, [])
            row = WorkItem(
                job_id=job.id, key=f"{KIND}:{number}", kind=KIND, needs=needed, requires=requires,
                payload={"does": steps, "folder": str(folder), **payload}, progress_total=1,
                state="blocked" if needed else "queued",
            )  # fmt: skip
            session.add(row)
            session.flush()  # ids rise in this order
        return job.id


@dataclass
class Desk:
    """One supervisor and what it works with."""

    settings: Settings
    database: Database  # the test's own way to it, never through a proxy
    supervisor: Supervisor
    folder: Path
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def job_of(self, *does: list[str], **more: Any) -> str:
        return store_job(self.database, self.folder, *does, **more)

    def claim(self) -> Lease:
        with self.database.transaction() as session:
            lease = claims.claim(session, owner=OWNER, lease_s=self.settings.lease_s, able=[REQUIRED])
        assert lease is not None, "no item waits"
        return lease

    def carry(self) -> Outcome:
        """Claim the next item and carry it to its end, on a runner of its own."""
        return self._carried(self.claim())

    def begin(self) -> Future[Outcome]:
        """Claim the next item and have it carried while the test goes on."""
        return self.pool.submit(self._carried, self.claim())

    def _carried(self, lease: Lease) -> Outcome:
        with self.supervisor.slot() as slot:
            return slot.carry(lease)

    def outcome(self, future: Future[Outcome]) -> Outcome:
        return future.result(DEADLINE_S)

    def marks(self, what: str) -> list[Path]:
        return sorted(self.folder.glob(f"*.{what}.*"), key=lambda path: path.stat().st_mtime_ns)

    def runner(self, what: str = "started", *, attempt: int = 1) -> int:
        """Wait for an attempt's mark; return its runner's process id."""

        def found() -> list[Path]:
            return [path for path in self.marks(what) if path.name.split(".")[2] == str(attempt)]

        return int(until(found, f"a runner that has {what}")[0].name.rpartition(".")[2])

    def enough(self) -> None:
        """Let the runners that wait for it go on."""
        (self.folder / "enough").touch()

    def job(self, job_id: str) -> Job:
        with self.database.reading() as session:
            return session.get_one(Job, job_id)

    def item(self, job_id: str, number: int = 0) -> WorkItem:
        with self.database.reading() as session:
            return session.query(WorkItem).filter_by(job_id=job_id, key=f"{KIND}:{number}").one()

    def requeued(self, job_id: str) -> list[str]:
        """Return why items of the job were queued again."""
        with self.database.reading() as session:
            events = session.query(Event).filter_by(job_id=job_id, type="item.requeued").order_by(Event.seq)
            return [event.data["reason"] for event in events]


@pytest.fixture(scope="session")
def shared_zygote() -> Iterator[ZygoteHandle]:
    """A zygote for all tests: it takes seconds to start. Where a test kills it, the handle starts another."""
    zygote = ZygoteHandle(FAKE_ZYGOTE)
    zygote.abilities()
    yield zygote
    zygote.close()


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """SQLite, where a test does not ask for others too."""
    url: str = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url")
    return url


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(database: Database, database_url: str, tmp_path: Path) -> Iterator[MakeDesk]:
    """Make a desk around a zygote; settings by name."""
    made: list[Desk] = []

    def make(zygote: ZygoteHandle, **changes: Any) -> Desk:
        values: dict[str, Any] = {
            "data_dir": tmp_path,
            "database_url": database_url,
            "redis_url": None,
            "lease_s": 5.0,
            "heartbeat_s": 0.1,
            "cancel_grace_s": 0.3,
            "max_attempts": 2,
            **changes,
        }
        settings = Settings(**values)
        folder = tmp_path / "marks"
        folder.mkdir(exist_ok=True)
        own = Database(settings.resolved_database_url)
        desk = Desk(settings, database, Supervisor(settings, own, zygote), folder)
        made.append(desk)
        return desk

    yield make
    for desk in made:
        desk.supervisor.shutting_down.set()
        desk.pool.shutdown()
        desk.supervisor._database.dispose()


@pytest.fixture
def desk(make_desk: MakeDesk, shared_zygote: ZygoteHandle) -> Desk:
    return make_desk(shared_zygote)

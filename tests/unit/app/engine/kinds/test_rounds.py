"""A kind of work that plans its next items by what was found, round by round."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import Cell, Event, Job, WorkItem
from app.engine.items import claims, endings
from app.engine.items.leases import Lease, LeaseLost
from app.engine.kinds import KINDS, Kind, Rounds, next_round
from app.engine.kinds.inference import results
from app.engine.states import lock
from simulator.config.job import JobSpec
from tests.unit.app.conftest import MakeJob

SPEC = {"task": "classification", "evaluate": {"t_inference": [1.0]}}


def _finished(session: Session, job: Job) -> list[int]:
    query = select(Cell.repeat).where(Cell.job_id == job.id).order_by(Cell.repeat)
    return list(session.scalars(query))


def _next_items(spec: JobSpec, repeats: list[int]) -> Sequence[WorkItem]:
    """Plan a chip more, until there are three."""
    del spec
    if len(repeats) >= 3:
        return ()
    repeat = len(repeats)
    payload = {"variant": "direct", "repeats": [repeat, repeat + 1]}
    key = f"evaluate:direct:{repeat}"
    return [WorkItem(key=key, kind="evaluate", payload=payload, needs=[], state="queued", progress_total=100)]


@pytest.fixture
def job_id(database: Database, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(KINDS, "growing", Kind(Rounds(_finished, _next_items)))
    job_id = make_job(("evaluate:direct:0", []))
    with database.transaction() as session:
        job = session.get_one(Job, job_id)
        job.kind, job.spec = "growing", SPEC
    return job_id


def take(database: Database, job_id: str, owner: str = "w") -> Lease:
    with database.transaction() as session:
        lease = claims.claim(session, owner=owner, lease_s=60, job_id=job_id)
    assert lease is not None
    return lease


def save(database: Database, lease: Lease) -> None:
    repeat = int(lease.key.rpartition(":")[2])
    with database.transaction() as session:
        counts = {"correct": 9, "total": 10, "loss_sum": 1.0}
        results.save_cell(
            session, lease, variant="direct", repeat=repeat, t_inference=1.0, counts=counts, progress_done=100
        )


def finish(database: Database, lease: Lease) -> list[str]:
    with database.transaction() as session:
        return endings.succeed(session, lease, next_round=next_round)


def state(database: Database, job_id: str) -> tuple[str, int, int]:
    with database.reading() as session:
        job = session.get_one(Job, job_id)
        return job.state, job.progress_done, job.progress_total


def test_a_job_goes_on_until_no_round_follows(database: Database, job_id: str) -> None:
    for repeat in range(3):
        lease = take(database, job_id)
        assert lease.key == f"evaluate:direct:{repeat}"
        save(database, lease)
        expected = [f"evaluate:direct:{repeat + 1}"] if repeat < 2 else []
        assert finish(database, lease) == expected
        assert state(database, job_id)[0] == ("running" if repeat < 2 else "succeeded")
    assert state(database, job_id) == ("succeeded", 300, 300)
    with database.reading() as session:
        query = select(Event.data).where(Event.job_id == job_id, Event.type == "job.round")
        assert [data["items"] for data in session.scalars(query)] == [
            ["evaluate:direct:1"],
            ["evaluate:direct:2"],
        ]


def test_a_kill_while_a_round_ends_changes_nothing(database: Database, job_id: str) -> None:
    lease = take(database, job_id)
    save(database, lease)
    with pytest.raises(KeyboardInterrupt), database.transaction() as session:
        endings.succeed(session, lease, next_round=next_round)
        raise KeyboardInterrupt
    assert state(database, job_id) == ("running", 100, 100)
    assert finish(database, lease) == ["evaluate:direct:1"]


def test_a_worker_without_its_lease_begins_no_round(database: Database, job_id: str) -> None:
    lease = take(database, job_id)
    save(database, lease)
    assert finish(database, lease) == ["evaluate:direct:1"]
    with pytest.raises(LeaseLost):
        finish(database, lease)
    with database.reading() as session:
        assert len(session.scalars(select(WorkItem).where(WorkItem.job_id == job_id)).all()) == 2


def test_a_job_that_is_being_cancelled_begins_no_round(database: Database, job_id: str) -> None:
    lease = take(database, job_id)
    save(database, lease)
    with database.transaction() as session:
        job = lock(session, job_id)
        assert job is not None
        endings.cancel(session, job)
    assert finish(database, lease) == []
    assert state(database, job_id)[0] == "cancelled"

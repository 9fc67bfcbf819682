"""What a queued job waits for."""

import pytest

from app.db.session import database_time_s
from app.db.tables import Worker, WorkItem
from app.db.types import utc_now
from app.engine.items.claims import claim
from tests.unit.app.jobs.submissions import body, database_of, put, submit


def queue(client, job_id):
    return client.get(f"/v1/jobs/{job_id}").json()["queue"]


@pytest.fixture
def worker(client):
    with database_of(client).transaction() as session:
        now = database_time_s(session)
        session.add(
            Worker(id="w", hostname="h", pid=1, concurrency=1, started_at=utc_now(), heartbeat_at_s=now)
        )


def test_without_a_worker_that_is_what_it_waits_for(client):
    assert queue(client, submit(client, body(client))) == {"position": 1, "reason": "no_worker"}


@pytest.mark.usefixtures("worker")
def test_a_job_tells_its_place_behind_those_that_are_begun_before(client):
    job = body(client)
    first, second = (submit(client, {**job, "seed": seed}) for seed in (1, 2))
    urgent = submit(client, {**job, "seed": 3, "priority": 5})
    places = {
        name: queue(client, job_id)
        for name, job_id in (("first", first), ("second", second), ("urgent", urgent))
    }
    assert {name: one["position"] for name, one in places.items()} == {"urgent": 1, "first": 2, "second": 3}
    assert {one["reason"] for one in places.values()} == {"workers_are_busy"}


@pytest.mark.usefixtures("worker")
def test_the_place_is_part_of_the_version(client):
    job = body(client)
    first, second = (submit(client, {**job, "seed": seed}) for seed in (1, 2))
    held = {"If-None-Match": client.get(f"/v1/jobs/{second}").headers["etag"]}
    assert client.get(f"/v1/jobs/{second}", headers=held).status_code == 304
    client.post(f"/v1/jobs/{first}/cancel")
    changed = client.get(f"/v1/jobs/{second}", headers=held)
    assert (changed.status_code, changed.json()["queue"]["position"]) == (200, 1)


def test_a_job_that_was_begun_waits_in_no_queue(client):
    job_id = submit(client, body(client))
    with database_of(client).transaction() as session:
        assert claim(session, owner="w", lease_s=60) is not None
    assert queue(client, job_id) is None
    with database_of(client).reading() as session:
        assert session.query(WorkItem).filter_by(job_id=job_id, state="running").count() == 1


def test_an_ended_job_waits_in_no_queue(client):
    job_id = submit(client, body(client))
    put(client, job_id, "failed")
    assert queue(client, job_id) is None


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("able", "idle_reason", "reason"),
    [
        (["cuda/compiled"], None, "no_worker_is_able"),
        (["auto/compiled", "cpu/compiled"], "the storage is full", "workers_take_no_work"),
        (["auto/compiled", "cpu/compiled"], None, "workers_are_busy"),
    ],
)
def test_it_is_told_whether_workers_can_and_will(client, able, idle_reason, reason):
    with database_of(client).transaction() as session:
        worker = session.get_one(Worker, "w")
        worker.able, worker.idle_reason = able, idle_reason
    assert queue(client, submit(client, body(client)))["reason"] == reason

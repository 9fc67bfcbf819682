import shutil
import threading
import time

import pytest
from sqlalchemy import event

from app.db.session import Database, database_time_s
from app.db.tables import Worker
from app.db.types import utc_now


@pytest.fixture
def add_worker(settings):
    database = Database(settings.resolved_database_url)

    def add(name, silent_s=0.0):
        with database.transaction() as session:
            session.add(
                Worker(
                    id=name,
                    hostname="host",
                    pid=1,
                    concurrency=2,
                    started_at=utc_now(),
                    heartbeat_at_s=database_time_s(session) - silent_s,
                )
            )

    yield add
    database.dispose()


def test_a_process_that_answers_is_live(client):
    answer = client.get("/healthz/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


def test_with_a_worker_everything_is_ready(client, add_worker):
    add_worker("a")
    body = client.get("/healthz/ready").json()
    assert body["status"] == "ok"
    assert set(body["checks"]) == {"database", "storage", "broker", "workers"}


def test_without_a_live_worker_the_service_is_ready_and_degraded(client, add_worker):
    add_worker("gone", silent_s=3600)
    answer = client.get("/healthz/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"]["workers"]["status"] == "degraded"


def test_without_a_broker_the_service_is_ready_and_degraded(settings, make_client):
    with make_client(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})) as client:
        answer = client.get("/healthz/ready")
    assert answer.status_code == 200
    assert answer.json()["checks"]["broker"]["status"] == "degraded"


def test_a_database_that_is_not_migrated_is_not_ready(settings, make_client, tmp_path):
    empty = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'empty.db'}"})
    with make_client(empty) as client:
        answer = client.get("/healthz/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "database_failed" in {error["code"] for error in answer.json()["errors"]}


def test_a_storage_that_is_gone_is_not_ready(client, settings):
    shutil.rmtree(settings.data_dir / "blobs")
    answer = client.get("/healthz/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "storage_failed" in {error["code"] for error in answer.json()["errors"]}
    assert client.get("/healthz/live").status_code == 200


def test_workers_are_listed_with_whether_they_live(client, add_worker):
    add_worker("gone", silent_s=3600)
    add_worker("here")
    items = client.get("/v1/workers").json()["items"]
    assert [(item["id"], item["alive"], item["running_items"]) for item in items] == [
        ("here", True, 0),
        ("gone", False, 0),
    ]
    assert items[0]["last_seen_at"].endswith("Z")


def test_a_database_that_hangs_is_told_within_two_seconds_and_holds_up_nothing_else(client):
    engine = client.app.state.services.database.engine
    gate = threading.Event()
    client.get("/healthz/ready")  # what is imported at the first look is no part of the wait

    def hang(*_):
        gate.wait(60)

    event.listen(engine, "begin", hang)
    try:
        for _ in range(3):
            started = time.monotonic()
            answer = client.get("/healthz/ready")
            assert time.monotonic() - started < 4  # 1.5 s, and what a busy machine adds
            assert answer.status_code == 503
            assert ("database_failed") in {fault["code"] for fault in answer.json()["errors"]}
            assert client.get("/healthz/live").status_code == 200
    finally:
        event.remove(engine, "begin", hang)
        gate.set()
    until_ready = time.monotonic() + 20
    while client.get("/healthz/ready").status_code != 200:
        assert time.monotonic() < until_ready

"""Requests with an `Idempotency-Key`, on each database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import func, select
from starlette.responses import Response

from app.db import idempotency as keys
from app.db.blobs import FolderBlobs
from app.db.schema import SchemaGuard
from app.db.session import Database
from app.db.tables import IdempotencyKey, RpuConfig
from app.db.types import utc_now
from app.engine.broker import Doorbell, make_celery
from app.engine.watch import JobWatch
from app.keys.gate import Gate as Callers
from app.kit import handlers
from app.kit.idempotency import MAX_LENGTH, OnceDep, json_answer
from app.kit.inspection import Inspector
from app.kit.middleware import RequestIdMiddleware
from app.kit.problems import Conflict
from app.kit.routing import StrictRoute
from app.kit.transactions import WriteSession
from app.results.reader import ResultReader
from app.services import Services
from app.settings import Settings
from simulator.config.base import StrictModel
from tests.unit.app.conftest import LOCAL, TestClient

DEADLINE_S = 30


class Thing(StrictModel):
    name: str = "thing"
    trouble: str | None = None


class Gate:
    """Holds a request in the middle of its work."""

    def __init__(self):
        self.entered, self.leave = threading.Event(), threading.Event()


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture
def client(database, tmp_path, gate):
    router = APIRouter(route_class=StrictRoute)

    @router.post("/things", status_code=202)
    def make(thing: Thing, session: WriteSession, once: OnceDep) -> Response:
        def work():
            row = RpuConfig(name=thing.name, spec={}, effective={}, config_hash="")
            session.add(row)
            session.flush()
            if thing.trouble == "refused":
                raise Conflict("refused")
            if thing.trouble == "broken":
                raise RuntimeError("broken")
            if thing.trouble == "slow":
                gate.entered.set()
                assert gate.leave.wait(DEADLINE_S)
            headers = {"Location": f"/things/{row.id}", "ETag": '"1"', "X-Other": "not kept"}
            return json_answer(Thing(name=row.id), 202, headers)

        return once.do(work, find=lambda _: True)

    @router.post("/things/again", status_code=202)
    def again(once: OnceDep) -> Response:
        return once.do(lambda: json_answer(Thing(), 202, {}), find=lambda _: True)

    settings = Settings(data_dir=tmp_path, redis_url=None)
    app = FastAPI()
    app.state.services = Services(
        settings,
        database,
        FolderBlobs(tmp_path / "blobs"),
        SchemaGuard(database),
        Doorbell(make_celery(settings)),
        Inspector(settings.inspection_timeout_s),
        JobWatch(database, settings.watch_interval_s),
        ResultReader(database),
        Callers(settings, database),
    )
    app.add_middleware(RequestIdMiddleware)
    handlers.install(app)
    app.include_router(router)
    with TestClient(app, LOCAL, raise_server_exceptions=False) as client:
        yield client


def post(client, key, body=None, path="/things"):
    return client.post(path, json=body or {}, headers={} if key is None else {"Idempotency-Key": key})


def count(database, table=RpuConfig):
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_without_a_key_every_request_is_done(client, database):
    assert [post(client, None).status_code for _ in range(2)] == [202, 202]
    assert (count(database), count(database, IdempotencyKey)) == (2, 0)


def test_a_repetition_gets_the_first_answer(client, database):
    first = post(client, "k", {"name": "a"})
    second = post(client, "k", {"name": "a"})
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.status_code == first.status_code == 202
    assert second.content == first.content
    for header in ("location", "etag", "content-type"):
        assert second.headers[header] == first.headers[header]
    assert "x-other" not in second.headers
    assert count(database) == 1


def test_the_order_of_keys_in_the_body_does_not_matter(client, database):
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    first = client.post("/things", content=b'{"name": "a", "trouble": null}', headers=headers)
    second = client.post("/things", content=b'{"trouble": null,\n "name": "a"}', headers=headers)
    assert second.content == first.content
    assert count(database) == 1


@pytest.mark.parametrize("spelling", ['"a key"', '"a \\"quoted\\" \\\\ key"', "ab-c_D.9~", "x" * MAX_LENGTH])
def test_keys_are_bare_or_quoted(client, spelling):
    assert post(client, spelling).status_code == 202
    assert post(client, f"  {spelling} ").headers["idempotency-replayed"] == "true"


def test_a_bare_key_is_the_same_as_the_quoted_one(client):
    assert post(client, "abc").status_code == 202
    assert post(client, '"abc"').headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "key", ["", '""', "two words", '"open', "x" * (MAX_LENGTH + 1), '"' + "x" * 256 + '"', b"\xe4", b"a\tb"]
)
def test_a_bad_key_is_a_bad_request(client, database, key):
    answer = post(client, key)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_idempotency_key"
    assert answer.json()["errors"][0]["pointer"] == "/header/idempotency-key"
    assert count(database) == 0


def test_two_keys_are_a_bad_request(client):
    answer = client.post("/things", json={}, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert answer.json()["code"] == "invalid_idempotency_key"


def test_another_body_or_path_under_the_same_key_is_refused(client, database):
    assert post(client, "k", {"name": "a"}).status_code == 202
    for answer in (
        post(client, "k", {"name": "b"}),
        post(client, "k", {"name": "a"}, "/things/again"),
    ):
        assert answer.status_code == 422
        assert answer.json()["code"] == "idempotency_key_reused"
    assert count(database) == 1


@pytest.mark.parametrize(("trouble", "status"), [("refused", 409), ("broken", 500)])
def test_a_failed_request_does_not_use_up_its_key(client, database, trouble, status):
    assert post(client, "k", {"trouble": trouble}).status_code == status
    assert (count(database), count(database, IdempotencyKey)) == (0, 0)
    assert post(client, "k").status_code == 202


def test_a_body_with_faults_does_not_use_up_its_key(client):
    assert post(client, "k", {"nam": "a"}).status_code == 422
    assert post(client, "k", {"name": "a"}).status_code == 202


def test_a_key_that_is_being_worked_on_is_a_conflict(client, database, gate):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, client, "k", {"trouble": "slow"})
        assert gate.entered.wait(DEADLINE_S)
        second = post(client, "k", {"trouble": "slow"})
        gate.leave.set()
        assert first.result(DEADLINE_S).status_code == 202
    assert second.status_code == 409
    assert second.json()["code"] == "idempotency_key_in_progress"
    assert int(second.headers["retry-after"]) > 0
    assert post(client, "k", {"trouble": "slow"}).headers["idempotency-replayed"] == "true"
    assert count(database) == 1


def test_fifty_requests_at_once_are_one(client, database):
    start = threading.Barrier(50)

    def send():
        start.wait(DEADLINE_S)
        return post(client, "k", {"name": "a"})

    with ThreadPoolExecutor(50) as pool:
        answers = [future.result(60) for future in [pool.submit(send) for _ in range(50)]]
    assert count(database) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.content for answer in accepted}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in accepted) == 1


def test_another_process_working_on_the_key_is_a_conflict_or_waited_for(client, database):
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            assert keys.try_lock(session, "k")
            assert session.get(IdempotencyKey, ("default", "k")) is None
            answer = pool.submit(post, client, "k")
            if database.is_sqlite:  # it has one writer at a time
                with pytest.raises(TimeoutError):
                    answer.result(0.5)
            else:
                assert answer.result(DEADLINE_S).status_code == 409
        if database.is_sqlite:
            assert answer.result(DEADLINE_S).status_code == 202
        else:
            assert post(client, "k").status_code == 202


def _expire(database):
    with database.transaction() as session:
        session.get(IdempotencyKey, ("default", "k")).expires_at = utc_now() - timedelta(seconds=1)


def test_a_key_is_kept_for_24_hours(client, database):
    post(client, "k")
    with database.reading() as session:
        left = session.get(IdempotencyKey, ("default", "k")).expires_at - utc_now()
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)


def test_an_expired_key_is_new_again(client, database):
    post(client, "k", {"name": "a"})
    _expire(database)
    answer = post(client, "k", {"name": "b"})
    assert answer.status_code == 202
    assert "idempotency-replayed" not in answer.headers
    assert count(database) == 2


def test_expired_keys_are_swept(client, database):
    post(client, "k")
    post(client, "fresh")
    _expire(database)
    with database.transaction() as session:
        keys.drop_expired(session)
    assert count(database, IdempotencyKey) == 1

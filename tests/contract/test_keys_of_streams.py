"""Streams and long polls end soon after the key that opened them is no longer let in, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

import driftline
from app.db.tables import ApiKey
from app.db.types import utc_now
from app.keys import gate
from app.kit.access import Scope
from app.settings import Settings
from tests.unit.app.keys.conftest import bearer, new_key
from tests.waiting import until


@pytest.fixture
def settings(sqlite_url, tmp_path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=sqlite_url, redis_url=None, watch_interval_s=0.05)


@pytest.fixture
def admin(server) -> dict[str, str]:
    return bearer(new_key(server.services.database.all_projects, "admin"))


@pytest.fixture
def key(server, admin) -> str:
    return new_key(server.services.database.all_projects, "read")


def id_of(server, key) -> str:
    return httpx.get(f"{server.url}/v1/whoami", headers=bearer(key)).json()["key"]


@contextmanager
def stream(server, story, **options) -> Iterator[Iterator[str]]:
    headers = {"Accept": "text/event-stream", **options.pop("headers", {})}
    url = f"{server.url}/v1/jobs/{story.id}/events"
    with httpx.stream("GET", url, headers=headers, timeout=60, **options) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert next(lines).startswith("retry")
        until(lambda: server.services.watch.waiting, "the stream to wait")
        yield lines


def last_words(lines) -> str:
    """Read a stream to its end; return its last comment."""
    return [line for line in lines if line.startswith(":")][-1]


def change(server, key_id, **values) -> None:
    """Change a key in the database, as another process does."""
    with server.services.database.all_projects.transaction() as session:
        row = session.scalars(select(ApiKey).where(ApiKey.id == key_id)).one()
        for name, value in values.items():
            setattr(row, name, value)


def test_a_stream_ends_when_its_key_is_withdrawn_here(server, story, key, admin):
    key_id = id_of(server, key)
    with stream(server, story, headers=bearer(key)) as lines:
        assert httpx.delete(f"{server.url}/v1/keys/{key_id}", headers=admin).status_code == 204
        assert "not known, has expired, or was withdrawn" in last_words(lines)
    again = httpx.get(f"{server.url}/v1/jobs/{story.id}/events", headers=bearer(key))
    assert (again.status_code, again.json()["code"]) == (401, "invalid_key")


def test_a_stream_ends_when_another_process_withdraws_its_key(server, story, key, monkeypatch):
    monkeypatch.setattr(gate, "LOOK_S", 0.2)
    with stream(server, story, headers=bearer(key)) as lines:
        change(server, id_of(server, key), withdrawn_at=utc_now())
        assert "withdrawn" in last_words(lines)


def test_a_stream_ends_when_its_key_loses_the_scope(server, story, key, monkeypatch):
    monkeypatch.setattr(gate, "LOOK_S", 0.2)
    with stream(server, story, headers=bearer(key)) as lines:
        change(server, id_of(server, key), scopes=[Scope.SUBMIT.value])
        assert "this wants the scope read" in last_words(lines)


def test_a_stream_ends_when_its_key_expires(server, story, admin):
    in_a_moment = utc_now() + timedelta(seconds=1)
    key = new_key(server.services.database.all_projects, "read", expires_at=in_a_moment)
    with stream(server, story, headers=bearer(key)) as lines:
        assert "expired" in last_words(lines)


def test_a_stream_of_another_project_ends_when_its_key_is_no_admins_any_more(server, story, monkeypatch):
    monkeypatch.setattr(gate, "LOOK_S", 0.2)
    key = new_key(server.services.database.all_projects, "admin", "read", project="lab")
    with stream(server, story, headers=bearer(key), params={"project": "default"}) as lines:
        change(server, id_of(server, key), scopes=[Scope.READ.value])
        assert "this wants the scope admin" in last_words(lines)


def test_a_stream_of_a_browser_ends_when_it_signs_out(server, story, key):
    with httpx.Client(base_url=server.url, headers={"Origin": server.url}) as browser:
        browser.post("/sign-in", data={"key": key})
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
        with stream(server, story, headers=cookie) as lines:
            assert browser.post("/sign-out").status_code == 303
            assert "has no key" in last_words(lines)


def test_a_stream_of_nobody_ends_when_the_first_key_is_made(server, story, monkeypatch):
    monkeypatch.setattr(gate, "LOOK_S", 0.2)
    with stream(server, story) as lines:
        new_key(server.services.database.all_projects, "admin")
        assert "has no key" in last_words(lines)


def test_other_streams_go_on(server, story, key, admin):
    other = new_key(server.services.database.all_projects, "read")
    with stream(server, story, headers=bearer(other)) as lines:
        httpx.delete(f"{server.url}/v1/keys/{id_of(server, key)}", headers=admin)
        assert httpx.get(f"{server.url}/v1/whoami", headers=bearer(key)).status_code == 401
        story.end()
        assert any(line == "event: job.succeeded" for line in lines)


def test_a_long_poll_is_answered_with_the_refusal(server, story, key, admin):
    url, key_id = f"{server.url}/v1/jobs/{story.id}", id_of(server, key)
    held = {"If-None-Match": httpx.get(url, headers=bearer(key)).headers["etag"]}

    def withdraw() -> None:
        until(lambda: server.services.watch.waiting, "the request to wait")
        httpx.delete(f"{server.url}/v1/keys/{key_id}", headers=admin)

    thread = threading.Thread(target=withdraw)
    thread.start()
    answer = httpx.get(url, params={"wait": 60}, headers={**bearer(key), **held}, timeout=70)
    thread.join()
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")


def test_the_client_says_that_its_key_is_refused(server, story, key, admin):
    key_id = id_of(server, key)
    told = []
    with (
        driftline.Driftline(server.url, api_key=key) as client,
        pytest.raises(driftline.ApiError, match="not known, has expired, or was withdrawn") as caught,
    ):
        for event in client.events(story.id):
            told.append(event.type)
            if len(told) == 2:
                httpx.delete(f"{server.url}/v1/keys/{key_id}", headers=admin)
    assert told == ["job.queued", "job.running"]
    assert caught.value.status == 401


def test_one_look_serves_all_streams_of_a_key(server, story, key, monkeypatch):
    """A hundred streams ask the database of their key no more often than one."""
    reads: list[str] = []
    read = gate.Gate._read
    monkeypatch.setattr(
        gate.Gate, "_read", lambda self, prefix: (reads.append(prefix), read(self, prefix))[1]
    )
    server.services.access.forget()
    with stream(server, story, headers=bearer(key)), stream(server, story, headers=bearer(key)):
        until(lambda: server.services.watch.waiting == 2, "both to wait")
        before = len(reads)
        server.services.access.forget()
        until(lambda: len(reads) > before, "the look")
        server.services.access.forget()
        until(lambda: len(reads) > before + 1, "the next look")
        assert len(reads) == before + 2

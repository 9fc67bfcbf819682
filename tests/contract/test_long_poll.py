"""Waiting for a job's next version, on a real server."""

import threading
import time

import anyio
import httpx
import pytest

from tests.waiting import until


@pytest.fixture
def job(server, story):
    """The job's address."""
    return f"{server.url}/v1/jobs/{story.id}"


def held(job) -> dict[str, str]:
    """The header of a client that holds the newest version."""
    return {"If-None-Match": httpx.get(job).headers["etag"]}


def test_a_client_that_holds_nothing_is_answered_at_once(job):
    begun = time.monotonic()
    answer = httpx.get(job, params={"wait": 30})
    assert (answer.status_code, answer.headers["retry-after"]) == (200, "2")
    assert time.monotonic() - begun < 10


def test_a_client_that_holds_an_old_version_is_answered_at_once(job, story):
    old = held(job)
    story.progress()
    answer = httpx.get(job, params={"wait": 30}, headers=old)
    assert answer.status_code == 200
    assert answer.headers["etag"] != old["If-None-Match"]


def test_nothing_new_is_a_304_when_the_time_is_up(job):
    newest = held(job)
    begun = time.monotonic()
    answer = httpx.get(job, params={"wait": 0.6}, headers=newest)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == newest["If-None-Match"]
    assert answer.headers["retry-after"] == "2"
    assert 0.6 <= time.monotonic() - begun < 10


def test_a_change_is_answered_when_it_happens(job, story, server):
    newest = held(job)

    def change() -> None:
        until(lambda: server.services.watch.waiting, "the request to wait")
        story.end()

    thread = threading.Thread(target=change)
    thread.start()
    begun = time.monotonic()
    answer = httpx.get(job, params={"wait": 60}, headers=newest, timeout=70)
    thread.join()
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    assert "retry-after" not in answer.headers
    assert time.monotonic() - begun < 20


def test_a_job_that_is_deleted_meanwhile_is_a_404(job, story, server):
    newest = held(job)

    def delete() -> None:
        until(lambda: server.services.watch.waiting, "the request to wait")
        story.vanish()  # it ends and is deleted between two looks at it

    thread = threading.Thread(target=delete)
    thread.start()
    answer = httpx.get(job, params={"wait": 60}, headers=newest, timeout=70)
    thread.join()
    assert answer.status_code == 404


@pytest.mark.parametrize("wait", ["-1", "60.5", "nan", "inf", "soon"])
def test_another_time_than_0_to_60_s_is_an_error(job, wait):
    answer = httpx.get(job, params={"wait": wait})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/wait"


def test_a_hundred_wait_at_once_and_hold_neither_connections_nor_threads(job, story, server):
    newest = held(job)
    pool = server.services.database.engine.pool

    async def wait_with_a_hundred() -> list[int]:
        statuses: list[int] = []
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=70) as client:

            async def poll() -> None:
                answer = await client.get(job, params={"wait": 60}, headers=newest)
                statuses.append(answer.status_code)

            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(poll)
                await anyio.to_thread.run_sync(
                    until, lambda: server.services.watch.waiting == 100, "the requests to wait"
                )
                assert pool.checkedout() <= 1  # the one that looks for all of them
                begun = time.monotonic()
                assert (await client.get(f"{server.url}/v1/jobs")).status_code == 200
                assert time.monotonic() - begun < 5
                await anyio.to_thread.run_sync(story.progress)
        return statuses

    begun = time.monotonic()
    assert anyio.run(wait_with_a_hundred) == [200] * 100
    assert time.monotonic() - begun < 50
    until(lambda: server.services.watch.waiting == 0, "the service to forget them")


def test_a_job_that_has_ended_is_answered_at_once(job, story):
    story.end()
    newest = held(job)
    begun = time.monotonic()
    assert httpx.get(job, params={"wait": 60}, headers=newest).status_code == 304
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("prefer", ["wait=1", "respond-async, wait=1", 'Wait = "1"; x'])
def test_a_preference_is_a_wait_too(job, prefer):
    newest = held(job)
    begun = time.monotonic()
    answer = httpx.get(job, headers={**newest, "Prefer": prefer})
    assert (answer.status_code, answer.headers["preference-applied"]) == (304, "wait=1")
    assert 1 <= time.monotonic() - begun < 10


def test_a_preference_that_is_none_of_ours_is_ignored(job):
    assert "preference-applied" not in httpx.get(job, headers={"Prefer": "return=minimal"}).headers

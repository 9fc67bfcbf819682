"""Events as they happen, on a real server and both databases."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx
import pytest

from app.settings import Settings
from tests.contract.conftest import running
from tests.waiting import until

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def settings(database_url, tmp_path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=database_url, redis_url=None, watch_interval_s=0.05)


@pytest.fixture
def events(server, story):
    """The address of the job's events."""
    return f"{server.url}/v1/jobs/{story.id}/events"


def parsed(lines) -> Iterator[dict[str, str]]:
    """Yield the stream's frames as a browser reads them; a comment's text under its empty field."""
    frame: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            frame[name] = value.removeprefix(" ")
        elif frame:
            yield frame
            frame = {}


@contextmanager
def opened(events, **headers) -> Iterator[Iterator[dict[str, str]]]:
    with httpx.stream("GET", events, headers={**STREAM, **headers}, timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        yield parsed(answer.iter_lines())


def numbers(frames) -> list[int]:
    return [int(frame["id"]) for frame in frames if "id" in frame]


def listed(events) -> list[dict]:
    return httpx.get(events, params={"limit": 200}).json()["items"]


def test_an_ended_jobs_events_come_in_order_and_the_stream_ends(events, story):
    story.tell("cell.finished", variant="hwa", repeat=0, correct=7)
    story.end()
    with opened(events) as stream:
        frames = [frame for frame in stream if "id" in frame]
    assert [frame["event"] for frame in frames] == [
        "job.queued", "job.running", "cell.finished", "job.succeeded",
    ]  # fmt: skip
    assert [json.loads(frame["data"]) for frame in frames] == listed(events)
    assert [int(frame["id"]) for frame in frames] == [event["seq"] for event in listed(events)]


def test_events_come_when_they_happen(events, story):
    with opened(events) as stream:
        assert next(stream) == {"retry": "1000"}
        assert [next(stream)["event"] for _ in range(2)] == ["job.queued", "job.running"]
        story.progress()  # a version without an event
        story.tell("epoch.finished", epoch=0)
        assert next(stream)["event"] == "epoch.finished"
        story.end()
        assert [frame["event"] for frame in stream] == ["job.succeeded"]


def test_a_broken_connection_is_gone_on_with_without_gap_or_repetition(events, story):
    def tell() -> None:
        for number in range(120):
            story.tell("cell.finished", number=number)
        story.end()

    writer = threading.Thread(target=tell)
    writer.start()
    seen: list[int] = []
    connections = 0
    while len(seen) < 123:  # with what the job began and ended with
        connections += 1
        assert connections < 20
        with opened(events, **({"Last-Event-ID": str(seen[-1])} if seen else {})) as stream:
            for frame in stream:
                if "id" in frame:
                    seen.append(int(frame["id"]))
                    if len(seen) % 25 == 0:
                        break  # and the connection is closed in the middle
    writer.join()
    expected = listed(events)
    assert seen == [event["seq"] for event in expected]
    assert expected[-1]["type"] == "job.succeeded"
    assert connections == 5


def test_after_stands_for_the_header_where_a_client_cannot_send_it(events, story):
    story.end()
    first, *rest = [event["seq"] for event in listed(events)]
    with opened(f"{events}?after={first}") as stream:
        assert numbers(stream) == rest
    with opened(f"{events}?after=0", **{"Last-Event-ID": str(rest[0])}) as stream:
        assert numbers(stream) == rest[1:]
    assert [event["seq"] for event in httpx.get(f"{events}?after={first}").json()["items"]] == rest


def test_a_browser_that_has_all_of_an_ended_job_is_told_not_to_come_again(events, story):
    story.end()
    last = listed(events)[-1]["seq"]
    answer = httpx.get(events, headers={**STREAM, "Last-Event-ID": str(last)})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "9" * 30])
def test_a_number_that_no_event_has_is_an_error(events, number):
    answer = httpx.get(events, headers={**STREAM, "Last-Event-ID": number})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/header/last-event-id"


def test_no_such_job_is_a_problem_and_no_stream(server):
    answer = httpx.get(f"{server.url}/v1/jobs/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10/events", headers=STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_form_that_there_is_not_is_refused(events):
    assert httpx.get(events, headers={"Accept": "text/html"}).status_code == 406
    assert httpx.get(events, headers={"Accept": "*/*"}).headers["content-type"] == "application/json"


def test_a_silent_stream_says_that_it_lives_and_ends_after_its_time(settings, story):
    short = settings.model_copy(update={"stream_heartbeat_s": 0.2, "stream_lifetime_s": 0.7})
    with running(short) as server, opened(f"{server.url}/v1/jobs/{story.id}/events") as stream:
        frames = list(stream)
    assert numbers(frames) == [1, 2]
    comments = [frame for frame in frames if "" in frame]
    assert 1 <= len(comments) <= 4
    assert frames[-1] == {"retry": "1000"}


def test_a_client_that_goes_away_frees_everything(events, server):
    with opened(events) as stream:
        assert next(stream)["retry"]
        until(lambda: server.services.watch.waiting == 1, "the stream to wait")
    until(lambda: server.services.watch.waiting == 0, "the service to notice")
    assert server.services.database.engine.pool.checkedout() <= 1


def test_a_deleted_job_ends_its_streams(events, story, server):
    with opened(events) as stream:
        until(lambda: server.services.watch.waiting == 1, "the stream to wait")
        story.end()
        httpx.delete(events.removesuffix("/events")).raise_for_status()
        for _ in stream:
            pass
    assert httpx.get(events, headers=STREAM).status_code == 404


def test_fifty_streams_at_once_all_tell_everything_once(events, story, server):
    async def follow_with_fifty() -> list[list[int]]:
        found: list[list[int]] = []
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=60) as client:

            async def follow() -> None:
                async with client.stream("GET", events, headers=STREAM) as answer:
                    lines = [line async for line in answer.aiter_lines()]
                found.append(numbers(parsed(lines)))

            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(follow)
                await anyio.to_thread.run_sync(
                    until, lambda: server.services.watch.waiting == 50, "the streams to wait"
                )
                for number in range(20):
                    await anyio.to_thread.run_sync(lambda n=number: story.tell("cell.finished", number=n))
                await anyio.to_thread.run_sync(story.end)
        return found

    begun = time.monotonic()
    assert anyio.run(follow_with_fifty) == [[event["seq"] for event in listed(events)]] * 50
    assert time.monotonic() - begun < 60
    until(lambda: server.services.watch.waiting == 0, "the service to forget them")

"""Jobs on the real API, where no worker takes them."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest

from driftline import (
    AsyncDriftline,
    Conflict,
    InvalidInput,
    InvalidRequest,
    Job,
    JobFailed,
    NotFound,
    ServiceUnreachable,
    WaitTimeout,
)
from tests.contract.conftest import Story
from tests.unit.driftline.conftest import Answer

MODEL = Path(__file__).parents[4] / "examples" / "mnist_cnn.onnx"


@pytest.fixture
def spec(driftline):
    return {
        "model": driftline.upload_model(MODEL),
        "dataset": driftline.dataset("builtin:mnist10k"),
        "rpu_config": {"preset": "PCMExamplePreset"},
        "evaluate": {"t_inference": ["1 s", "1 month"], "repeats": 2},
        "tags": ["pcm"],
    }


@pytest.fixture
def story(api):
    return Story(api.services.database.all_projects)


def test_records_and_durations_may_stand_in_a_specification(driftline, spec):
    job = driftline.submit(spec)
    assert isinstance(job, Job)
    assert job.state == job["state"] == "queued"
    assert job.spec["evaluate"]["t_inference"] == [1.0, 2592000.0]
    assert job.spec["model"] == spec["model"].id
    assert job.spec["dataset"] == "builtin:mnist10k"


def test_durations_may_stand_in_a_schedule_and_in_a_plan(driftline, spec):
    rules = [
        {"every": "1 day", "do": ["compensate"]},
        {"at": ["1 week", 5], "do": ["reprogram"]},
    ]
    evaluate = {"t_inference": ["1 month"], "repeats": 20, "maintenance": rules}
    plan = {"type": "maintenance_plan", "horizon": "1 year"}
    job = driftline.submit({**spec, "evaluate": evaluate, "analyses": [plan]})
    daily, once = job.spec["evaluate"]["maintenance"]
    assert (daily["every"], once["at"]) == (86400.0, [5.0, 604800.0])
    assert job.spec["analyses"][0]["horizon"] == 31536000.0


def test_every_fault_of_a_specification_is_told(driftline, spec):
    with pytest.raises(InvalidRequest) as told:
        driftline.submit({**spec, "sede": 1, "evaluate": {"t_inference": [-1]}})
    assert {fault.pointer for fault in told.value.faults} == {"/sede", "/evaluate/t_inference/0"}


@pytest.mark.parametrize("bad", [None, "m.onnx", ["model"]])
def test_what_is_no_specification_is_told(driftline, bad):
    with pytest.raises(InvalidInput, match="a job is a mapping"):
        driftline.submit(bad)


def test_a_dry_run_submits_nothing(driftline, spec):
    estimate = driftline.dry_run(spec)
    assert estimate.valid
    assert estimate.cells == 4
    assert driftline.jobs() == []


def test_jobs_are_listed_page_after_page(driftline, spec):
    ids = [driftline.submit({**spec, "seed": seed, "name": f"n{seed}"}).id for seed in range(5)]
    assert [job.id for job in driftline.jobs()] == ids[::-1]
    assert [job.id for job in driftline.jobs(limit=2)] == ids[:2:-1]
    assert len(driftline.jobs(limit=None)) == 5
    assert [job.id for job in driftline.jobs(q="n3")] == [ids[3]]
    assert driftline.jobs(state=["failed", "running"]) == []
    assert len(driftline.jobs(state="queued", tag="pcm", model=spec["model"], dataset=spec["dataset"])) == 5
    assert set(driftline.jobs(fields=["name"], limit=1)[0]) == {"id", "name"}
    with pytest.raises(InvalidInput, match="limit"):
        driftline.jobs(limit=0)


def test_a_long_list_is_read_whole(script, to_script):
    pages = [
        {"items": [{"id": f"{page}-{n}"} for n in range(200)], "next_cursor": f"c{page}"} for page in range(3)
    ]
    script.will(
        *(Answer(200, page) for page in pages), Answer(200, {"items": [{"id": "last"}], "next_cursor": None})
    )
    assert len(to_script.jobs(limit=None)) == 601
    assert [one.path.partition("cursor=")[2] for one in script.received] == ["", "c0", "c1", "c2"]


def test_a_job_is_renewed_where_it_changes(driftline, spec):
    job = driftline.submit(spec)
    driftline.cancel(job.id)
    assert job.state == "queued"
    assert job.refresh() is job
    assert job.state == "cancelled"
    with pytest.raises(Conflict) as told:
        job.cancel()
    assert told.value.code == "job_ended"
    again = job.retry()
    assert again.retry_of == job.id
    assert again.cancel().state == "cancelled"
    job.delete()
    with pytest.raises(NotFound):
        job.refresh()


@pytest.mark.parametrize("bad", [None, "", 7, {}])
def test_what_names_no_job_is_told(driftline, bad):
    with pytest.raises(InvalidInput, match="neither an id"):
        driftline.job(bad)


def test_an_id_never_leads_elsewhere(driftline):
    with pytest.raises(NotFound):
        driftline.job("../models")


def test_waiting_ends_with_the_job(driftline, story):
    seen = []

    def see(job):
        seen.append(job.state)
        if job.state == "running":
            story.end()

    assert driftline.wait(story.id, on_change=see).state == "succeeded"
    assert seen == ["running", "succeeded"]


def test_a_job_that_was_cancelled_raises_unless_told_otherwise(driftline, spec):
    job = driftline.submit(spec).cancel()
    with pytest.raises(JobFailed, match="was cancelled") as told:
        job.wait()
    assert told.value.job["id"] == job.id
    assert job.wait(raise_on_failure=False).state == "cancelled"


def test_waiting_has_a_limit(driftline, story):
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match="still running"):
        driftline.wait(story.id, timeout_s=0.4)
    assert 0.3 < time.monotonic() - began < 5


def test_nothing_is_polled_in_vain(script, to_script):
    job = {"id": "j", "state": "running", "phase": None, "progress": {"fraction": 0.1}}
    script.will(
        Answer(200, job, {"ETag": '"1"'}), Answer(304, None, {"ETag": '"1"'}),
        Answer(200, {**job, "state": "succeeded"}, {"ETag": '"2"'}),
    )  # fmt: skip
    to_script.wait("j")
    first, *others = script.received
    assert "wait" not in first.path
    assert all("wait=30" in one.path and one.headers["if-none-match"] == '"1"' for one in others)


def test_waiting_outlives_an_absence(script, to_script, problem):
    job = {"id": "j", "state": "running", "phase": None, "progress": {"fraction": 0.1}}
    away = [Answer(hang_up=True)] * 6 + [problem(503)] * 6
    script.will(
        Answer(200, job, {"ETag": '"1"'}), *away, Answer(200, {**job, "state": "succeeded"}, {"ETag": '"2"'})
    )
    assert to_script.wait("j").state == "succeeded"


def test_patience_has_an_end(script, to_script, monkeypatch):
    monkeypatch.setattr("driftline.operations.waiting.PATIENCE_S", 0.1)
    job = {"id": "j", "state": "running", "phase": None, "progress": {"fraction": 0.1}}
    script.will(Answer(200, job, {"ETag": '"1"'}), Answer(hang_up=True))
    with pytest.raises(ServiceUnreachable):
        to_script.wait("j")


def test_events_come_as_they_happen_and_end_with_the_job(driftline, story):
    told = []
    for event in driftline.events(story.id):
        told.append(event.type)
        if event.type == "job.running":
            story.tell("cell.finished", repeat=0)
        elif event.type == "cell.finished":
            story.end()
    assert told == ["job.queued", "job.running", "cell.finished", "job.succeeded"]
    assert [event.type for event in driftline.events(story.id, follow=False)] == told
    last = list(driftline.events(story.id))[-2].seq
    assert [event.type for event in driftline.events(story.id, after=last)] == ["job.succeeded"]


def test_a_broken_stream_is_joined_again_without_a_gap(script, to_script, problem):
    def stream(*numbers: int, kind: str = "cell.finished") -> Answer:
        text = "".join(f'id: {n}\nevent: x\ndata: {{"seq": {n}, "type": "{kind}"}}\n\n' for n in numbers)
        return Answer(raw=text.encode(), headers={"Content-Type": "text/event-stream"})

    cut = Answer(raw=b'id: 3\ndata: {"seq": 3, "ty', headers={"Content-Type": "text/event-stream"})
    script.will(
        Answer(200, {"id": "j"}), stream(1, 2), cut, problem(503), Answer(hang_up=True), stream(3, 4),
        stream(5, kind="job.succeeded"),
    )  # fmt: skip
    assert [event.seq for event in to_script.events("j")] == [1, 2, 3, 4, 5]
    begun = [one.headers.get("last-event-id") for one in script.received[1:]]
    assert begun == [None, "2", "2", "2", "2", "4"]


def test_the_events_of_no_job_are_told(driftline):
    with pytest.raises(NotFound):
        list(driftline.events("00000000-0000-7000-8000-000000000000"))


def test_leaving_the_events_closes_the_stream(driftline, story):
    for event in driftline.events(story.id):
        assert event.type == "job.queued"
        break
    assert driftline.job(story.id).state == "running"


def test_the_asynchronous_client_waits_and_iterates(api, story):
    async def follow() -> tuple[list[str], str]:
        async with AsyncDriftline(api.url) as driftline:
            job = await driftline.job(story.id)
            told = []
            async for event in job.events():
                told.append(event.type)
                if event.type == "job.running":
                    story.end()
            assert (await job.wait()) is job
            return told, job.state

    assert anyio.run(follow) == (["job.queued", "job.running", "job.succeeded"], "succeeded")


def test_whatever_else_there_is_can_be_asked_for(driftline):
    assert driftline.workers() == driftline.request("GET", "/v1/workers")["items"] == []
    stored = driftline.request(
        "POST", "/v1/rpu-configs", json={"name": "mine", "config": {"preset": "PCMExamplePreset"}}
    )
    assert driftline.request("DELETE", f"/v1/rpu-configs/{stored['id']}") is None
    with pytest.raises(InvalidInput, match="PATCH"):
        driftline.request("PATCH", "/v1/jobs")

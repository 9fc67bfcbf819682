from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest

from driftline import (
    ApiError,
    AsyncDriftline,
    Conflict,
    Driftline,
    NotFound,
    ServerError,
    ServiceUnavailable,
    ServiceUnreachable,
)
from driftline.core.retries import LONGEST_PAUSE_S, pause_s, retry_after_s
from tests.unit.driftline.conftest import Answer

JOB = {"id": "j", "name": None, "state": "queued"}
OK = Answer(200, JOB)


def test_a_read_is_repeated_until_the_service_answers(script, to_script, problem):
    script.will(problem(503), problem(502), Answer(hang_up=True), OK)
    assert to_script.job("j").state == "queued"
    assert len(script.received) == 4


def test_a_read_is_given_up_after_the_last_repetition(script, to_script, problem):
    script.will(problem(503))
    with pytest.raises(ServiceUnavailable):
        to_script.job("j")
    assert len(script.received) == 4


def test_retry_after_is_kept(script, to_script, problem):
    script.will(problem(503, retry_after="1"), OK)
    began = time.monotonic()
    to_script.job("j")
    assert time.monotonic() - began >= 1.0


def test_a_service_that_asks_for_hours_is_not_waited_for(script, to_script, problem):
    script.will(problem(503, retry_after="7200"))
    with pytest.raises(ServiceUnavailable) as told:
        to_script.job("j")
    assert told.value.retry_after_s == 7200
    assert len(script.received) == 1


@pytest.mark.parametrize("status", [404, 409, 422, 500, 507])
def test_what_a_repetition_does_not_solve_is_not_repeated(script, to_script, problem, status):
    script.will(problem(status))
    with pytest.raises(ApiError):
        to_script.job("j")
    assert len(script.received) == 1


def test_a_submission_is_repeated_with_its_key(script, to_script, problem):
    script.will(Answer(hang_up=True), problem(503), problem(409, "idempotency_key_in_progress"), OK)
    to_script.submit({"model": "m"})
    keys = {one.headers["idempotency-key"] for one in script.received}
    assert (len(script.received), len(keys)) == (4, 1)
    assert len({one.body for one in script.received}) == 1


def test_each_submission_has_a_key_of_its_own(script, to_script):
    script.will(OK)
    for _ in range(2):
        to_script.submit({"model": "m"})
    assert len({one.headers["idempotency-key"] for one in script.received}) == 2


@pytest.mark.parametrize("write", ["retry", "extend"])
def test_retry_and_extend_have_keys(script, to_script, write):
    script.will(Answer(hang_up=True), OK)
    getattr(to_script, write)("j")
    assert len({one.headers["idempotency-key"] for one in script.received}) == 1


@pytest.mark.parametrize("write", ["cancel", "delete"])
def test_a_write_without_a_key_is_not_repeated(script, to_script, problem, write):
    script.will(problem(503))
    with pytest.raises(ServiceUnavailable):
        getattr(to_script, write)("j")
    script.will(Answer(hang_up=True))
    with pytest.raises(ServiceUnreachable):
        getattr(to_script, write)("j")
    assert len(script.received) == 2


def test_another_conflict_is_told(script, to_script, problem):
    script.will(problem(409, "job_ended"))
    with pytest.raises(Conflict):
        to_script.submit({"model": "m"})


def test_an_upload_is_repeated_with_the_whole_file(script, to_script, tmp_path, problem):
    file = tmp_path / "m.onnx"
    file.write_bytes(b"onnx" * 100_000)
    script.will(problem(503), Answer(hang_up=True), Answer(201, {"id": "m"}))
    assert to_script.upload_model(file).id == "m"
    assert [one.body for one in script.received] == [file.read_bytes()] * 3


def test_an_asynchronous_upload_is_repeated_with_the_whole_file(script, tmp_path, problem):
    file = tmp_path / "m.onnx"
    file.write_bytes(b"onnx" * 100_000)
    script.will(problem(503), Answer(201, {"id": "m"}))

    async def upload() -> str:
        async with AsyncDriftline(script.url) as driftline:
            return (await driftline.upload_model(file)).id

    assert anyio.run(upload) == "m"
    assert [one.body for one in script.received] == [file.read_bytes()] * 2


def test_a_traceback_shows_the_callers_line_and_no_machinery(script, to_script, problem):
    script.will(problem(404))
    with pytest.raises(NotFound) as told:
        to_script.job("j")
    assert [entry.name for entry in told.traceback] == [
        "test_a_traceback_shows_the_callers_line_and_no_machinery", "method", "run",
    ]  # fmt: skip


def test_a_service_that_is_not_there_is_named():
    with Driftline("http://127.0.0.1:1", retries=1) as driftline, pytest.raises(ServiceUnreachable) as told:
        driftline.jobs()
    assert "http://127.0.0.1:1" in str(told.value)
    assert "driftline up" in str(told.value)


def test_an_answer_of_something_else_is_told_as_that(script, to_script):
    script.will(Answer(404, raw=b"<html>nginx</html>"))
    with pytest.raises(NotFound, match="not answered by a Driftline service: <html>nginx"):
        to_script.job("j")


@pytest.mark.parametrize("raw", [b"<html>hello</html>", b"[1]", b""])
def test_a_page_in_the_place_of_an_answer_is_told(script, to_script, raw):
    script.will(Answer(200, raw=raw))
    with pytest.raises(ApiError, match="not answered by a Driftline service"):
        to_script.job("j")
    with pytest.raises(ApiError, match="not answered by a Driftline service"):
        list(to_script.events("j"))


def test_an_address_that_moved_says_where_to(script, to_script):
    script.will(Answer(308, raw=b"", headers={"Location": "https://new.example/v1/jobs/j"}))
    with pytest.raises(ApiError, match=r"it points to https://new\.example"):
        to_script.job("j")


def test_an_internal_error_is_the_services(script, to_script, problem):
    script.will(problem(500, "internal"))
    with pytest.raises(ServerError):
        to_script.job("j")


def test_pauses_grow_and_differ(monkeypatch):
    monkeypatch.setattr("driftline.core.retries.FIRST_PAUSE_S", 0.25)
    assert 0.125 <= pause_s(0) <= 0.25
    assert 1.0 <= pause_s(3) <= 2.0
    assert pause_s(10_000) <= LONGEST_PAUSE_S
    assert pause_s(0, asked_s=20.0) == 20.0
    assert len({pause_s(3) for _ in range(20)}) > 1


def test_retry_after_may_be_a_date():
    later = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < (retry_after_s(format_datetime(later, usegmt=True)) or 0) <= 30
    assert retry_after_s(format_datetime(later - timedelta(days=1), usegmt=True)) == 0
    assert retry_after_s("3") == 3
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None


def test_the_key_of_the_environment_is_sent(script, monkeypatch):
    monkeypatch.setenv("DRIFTLINE_API_KEY", "dl_secret")
    monkeypatch.setenv("DRIFTLINE_URL", script.url)
    script.will(OK)
    with Driftline() as driftline:
        driftline.job("j")
    assert script.received[0].headers["authorization"] == "Bearer dl_secret"

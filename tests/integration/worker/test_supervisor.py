"""A supervisor with a real zygote and real runners: how an item can end, and what its job hears of it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from app.engine import states
from app.engine.items import endings
from app.settings import MIB
from tests.waiting import until
from worker.supervision.supervisor import Outcome

from .conftest import is_alive

EACH_DATABASE = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


@EACH_DATABASE
def test_an_item_succeeds_and_its_job_with_it(desk):
    job = desk.job_of(["succeed"])
    assert desk.carry() is Outcome.SUCCEEDED
    assert desk.job(job).state == "succeeded"
    assert desk.job(job).warnings == [{"pointer": "", "code": "fake", "message": "written by a runner"}]
    assert (desk.item(job).state, desk.item(job).attempt) == ("succeeded", 0)


def test_an_item_that_others_need_makes_them_claimable(desk):
    job = desk.job_of(["succeed"], ["succeed"], needs={1: ["fake:0"]})
    assert desk.carry() is Outcome.SUCCEEDED
    assert desk.item(job, 1).state == "queued"
    assert desk.carry() is Outcome.SUCCEEDED
    assert desk.job(job).state == "succeeded"


def test_an_item_that_cannot_be_done_fails_its_job_at_the_first_attempt(desk):
    job = desk.job_of(["fail"])
    assert desk.carry() is Outcome.FAILED
    assert desk.job(job).state == "failed"
    assert desk.job(job).failure == {
        "code": "non_finite_loss",
        "message": "the loss is not finite",
        "retryable": False,
        "item": "fake:0",
    }


def test_a_fault_of_the_program_fails_the_job_as_internal_and_says_no_more(desk):
    job = desk.job_of(["err"])
    assert desk.carry() is Outcome.FAILED
    failure = desk.job(job).failure
    assert (failure["code"], failure["retryable"]) == ("internal", False)
    assert "KeyError" in failure["message"]
    assert "a fault of the program" not in failure["message"]


@EACH_DATABASE
@pytest.mark.parametrize("crash", ["be_killed", "leave"])
def test_a_crash_spends_an_attempt_and_the_item_is_done_again(desk, crash):
    job = desk.job_of([crash, "succeed"])
    assert desk.carry() is Outcome.CRASHED
    assert (desk.job(job).state, desk.item(job).state, desk.item(job).attempt) == ("running", "queued", 1)
    assert desk.requeued(job) == ["worker_lost"]
    assert desk.carry() is Outcome.SUCCEEDED
    assert (desk.job(job).state, desk.job(job).attempt) == ("succeeded", 2)


@pytest.mark.parametrize(("crash", "said"), [("be_killed", "SIGSEGV"), ("leave", "the worker's log")])
def test_a_crash_at_the_last_attempt_fails_the_job(desk, crash, said):
    job = desk.job_of([crash])
    assert [desk.carry(), desk.carry()] == [Outcome.CRASHED, Outcome.CRASHED]
    failure = desk.job(job).failure
    assert (desk.job(job).state, failure["code"], failure["retryable"]) == ("failed", "worker_lost", True)
    assert said in failure["message"]


def test_an_item_that_runs_out_of_memory_says_so(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, max_attempts=1)
    job = desk.job_of(["raise_memory_error"])
    assert desk.carry() is Outcome.CRASHED
    assert desk.job(job).failure["code"] == "out_of_memory"
    assert "batch_size" in desk.job(job).failure["message"]


def test_an_item_that_takes_more_memory_than_it_may_is_out_of_memory(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, max_attempts=1, item_memory_bytes=4096 * MIB)
    job = desk.job_of(["allocate"])
    assert desk.carry() is Outcome.CRASHED
    assert desk.job(job).failure["code"] == "out_of_memory"


def test_an_item_that_runs_too_long_fails_its_job_at_once(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, item_timeout_s=0.5, max_attempts=3)
    job = desk.job_of(["work"])
    assert desk.carry() is Outcome.CRASHED
    assert not is_alive(desk.runner())
    failure = desk.job(job).failure
    assert (failure["code"], failure["retryable"]) == ("timeout", False)
    assert "0.5 s" in failure["message"]
    assert desk.item(job).attempt == 0


def test_an_item_without_a_sign_of_life_is_stalled(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, item_silence_s=0.5)
    job = desk.job_of(["hang"])
    assert desk.carry() is Outcome.CRASHED
    assert not is_alive(desk.runner())
    assert desk.requeued(job) == ["stalled"]
    assert desk.carry() is Outcome.CRASHED
    assert desk.job(job).failure["code"] == "stalled"


def test_a_lease_is_renewed_while_the_runner_works(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, lease_s=1.0)
    job = desk.job_of(["work"])
    carried = desk.begin()
    desk.runner()
    first = desk.item(job).lease_expires_s
    until(lambda: desk.item(job).lease_expires_s > first + 1.0, "the lease to outlive its first term")
    desk.enough()
    assert desk.outcome(carried) is Outcome.SUCCEEDED
    assert desk.job(job).state == "succeeded"


def _cancel(desk, job):
    with desk.database.transaction() as session:
        endings.cancel(session, states.lock(session, job))


@EACH_DATABASE
def test_a_runner_stops_by_itself_when_its_job_is_cancelled(desk):
    job = desk.job_of(["work"])
    carried = desk.begin()
    desk.runner()
    _cancel(desk, job)
    assert desk.job(job).state == "cancelling"
    assert desk.outcome(carried) is Outcome.CANCELLED
    assert (desk.job(job).state, desk.item(job).state) == ("cancelled", "cancelled")


def test_a_runner_that_ignores_sigterm_is_killed_and_its_job_is_cancelled(desk):
    job = desk.job_of(["ignore_sigterm"])
    carried = desk.begin()
    runner = desk.runner("deaf")
    begun = time.monotonic()
    _cancel(desk, job)
    assert desk.outcome(carried) is Outcome.CANCELLED
    assert time.monotonic() - begun >= 2 * desk.settings.cancel_grace_s
    assert desk.runner("heard-sigterm") == runner
    assert not is_alive(runner)
    assert (desk.job(job).state, desk.item(job).attempt) == ("cancelled", 0)


@EACH_DATABASE
def test_a_shutdown_gives_the_item_back_and_spends_no_attempt(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, cancel_grace_s=10.0)
    job = desk.job_of(["work"])
    carried = desk.begin()
    desk.runner()
    desk.supervisor.shutting_down.set()
    assert desk.outcome(carried) is Outcome.GIVEN_BACK
    assert (desk.item(job).state, desk.item(job).attempt) == ("queued", 0)
    assert desk.requeued(job) == ["worker_shutdown"]


def test_a_shutdown_kills_a_runner_that_ignores_it_and_spends_no_attempt(desk):
    job = desk.job_of(["ignore_sigterm"])
    carried = desk.begin()
    runner = desk.runner("deaf")
    desk.supervisor.shutting_down.set()
    assert desk.outcome(carried) is Outcome.GIVEN_BACK
    assert not is_alive(runner)
    assert (desk.item(job).state, desk.item(job).attempt) == ("queued", 0)


def _take_away(desk, job):
    """Let another worker have the item, as when the lease ran out."""
    with desk.database.transaction() as session:
        item = session.get_one(type(desk.item(job)), desk.item(job).id)
        item.lease_token += 1
        item.lease_owner = "another worker"


@EACH_DATABASE
def test_a_runner_whose_lease_is_lost_is_killed(desk):
    job = desk.job_of(["write_when_told"])
    carried = desk.begin()
    runner = desk.runner()
    _take_away(desk, job)
    assert desk.outcome(carried) is Outcome.LOST
    assert not is_alive(runner)
    assert (desk.item(job).state, desk.item(job).lease_owner) == ("running", "another worker")
    assert desk.job(job).warnings == []


def test_a_runner_whose_lease_is_lost_writes_nothing(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, heartbeat_s=60.0)  # the supervisor does not notice
    job = desk.job_of(["write_when_told"])
    carried = desk.begin()
    desk.runner()
    _take_away(desk, job)
    desk.enough()
    assert desk.outcome(carried) is Outcome.LOST
    assert desk.marks("writing")
    assert desk.job(job).warnings == []
    assert (desk.item(job).state, desk.item(job).lease_owner) == ("running", "another worker")


def test_a_full_storage_gives_the_item_back_and_spends_no_attempt(desk):
    job = desk.job_of(["find_storage_full"])
    assert desk.carry() is Outcome.STORAGE_FULL
    assert (desk.item(job).state, desk.item(job).attempt) == ("queued", 0)
    assert desk.requeued(job) == ["storage_full"]


def test_an_item_whose_input_is_gone_waits_until_that_is_made_again(desk):
    job = desk.job_of(["succeed"], ["miss_input"], needs={1: ["fake:0"]}, source="fake:0")
    assert [desk.carry(), desk.carry()] == [Outcome.SUCCEEDED, Outcome.GIVEN_BACK]
    assert (desk.item(job, 0).state, desk.item(job, 1).state) == ("queued", "blocked")
    assert desk.item(job, 1).attempt == 0


def test_a_zygote_that_does_not_start_costs_an_attempt(make_desk, monkeypatch):
    from worker.supervision import handle

    monkeypatch.setattr(handle, "_START_S", 0.2)
    zygote = handle.ZygoteHandle("tests.integration.worker.no_such_zygote")
    desk = make_desk(zygote)
    job = desk.job_of(["succeed"])
    try:
        assert desk.carry() is Outcome.CRASHED
    finally:
        zygote.close()
    assert (desk.item(job).state, desk.item(job).attempt) == ("queued", 1)


def test_a_zygote_that_is_killed_is_started_again_and_the_item_goes_on(desk, shared_zygote):
    job = desk.job_of(["hang", "succeed"])
    carried = desk.begin()
    runner = desk.runner()
    first = shared_zygote._process.pid
    os.kill(first, signal.SIGKILL)
    assert desk.outcome(carried) is Outcome.CRASHED
    until(lambda: not is_alive(runner), "the runner to die with its zygote")
    assert (desk.item(job).state, desk.item(job).attempt) == ("queued", 1)
    assert desk.carry() is Outcome.SUCCEEDED
    assert shared_zygote._process.pid != first
    assert desk.job(job).state == "succeeded"

"""A slot keeps the runner that has succeeded for the next item of the same job, and no other runner."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager

import pytest

from app.engine import states
from app.engine.items import endings
from tests.waiting import until
from worker.supervision.supervisor import Outcome

from .conftest import is_alive


@pytest.fixture
def slot(desk):
    with desk.supervisor.slot() as slot:
        yield slot


def runners(desk) -> list[int]:
    """Return the process of every attempt, in order."""
    return [int(path.name.rpartition(".")[2]) for path in desk.marks("started")]


@contextmanager
def carried(desk, slot):
    """Have the slot carry the next item meanwhile; yield the future outcome."""
    yield desk.pool.submit(slot.carry, desk.claim())


def test_a_runner_that_succeeded_does_the_next_items_of_its_job(desk, slot):
    job = desk.job_of(["succeed"], ["succeed"], ["succeed"])
    assert [slot.carry(desk.claim()) for _ in range(3)] == [Outcome.SUCCEEDED] * 3
    assert desk.job(job).state == "succeeded"
    assert len(runners(desk)) == 3
    assert len(set(runners(desk))) == 1


def test_no_heartbeat_kills_a_runner_between_its_success_and_its_word(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, heartbeat_s=0.001)
    desk.job_of(*[["succeed"]] * 10)
    with desk.supervisor.slot() as slot:
        assert [slot.carry(desk.claim()) for _ in range(10)] == [Outcome.SUCCEEDED] * 10
    assert len(set(runners(desk))) == 1


def test_another_job_gets_a_fresh_runner_and_the_waiting_one_ends(desk, slot):
    jobs = [desk.job_of(["succeed"]), desk.job_of(["succeed"])]
    slot.carry(desk.claim())
    slot.carry(desk.claim())
    first, second = runners(desk)
    assert first != second
    until(lambda: not is_alive(first), "the first runner to end")
    assert [desk.job(job).state for job in jobs] == ["succeeded", "succeeded"]


def test_a_runner_that_waits_ends_with_its_slot(desk):
    desk.job_of(["succeed"])
    with desk.supervisor.slot() as slot:
        slot.carry(desk.claim())
        (runner,) = runners(desk)
        assert is_alive(runner)
    until(lambda: not is_alive(runner), "the runner to end")


@pytest.mark.parametrize("first", ["be_killed", "find_storage_full", "miss_input"])
def test_an_item_that_does_not_succeed_leaves_no_runner_waiting(desk, slot, first):
    desk.job_of([first], source="fake:0")
    slot.carry(desk.claim())
    assert slot._runner is None


def test_a_runner_that_dies_while_it_waits_costs_no_attempt(desk, slot):
    job = desk.job_of(["succeed"], ["succeed"])
    slot.carry(desk.claim())
    os.kill(runners(desk)[0], signal.SIGKILL)
    until(lambda: not slot._runner.is_there(), "the slot to be told")
    assert slot.carry(desk.claim()) is Outcome.SUCCEEDED
    assert (desk.job(job).state, desk.job(job).attempt) == ("succeeded", 1)


def test_a_zygote_that_dies_while_a_runner_waits_costs_no_attempt(desk, slot, shared_zygote):
    job = desk.job_of(["succeed"], ["succeed"])
    slot.carry(desk.claim())
    os.kill(shared_zygote._process.pid, signal.SIGKILL)
    until(lambda: not slot._runner.is_there(), "the slot to be told")
    assert slot.carry(desk.claim()) is Outcome.SUCCEEDED
    assert (desk.job(job).state, desk.job(job).attempt) == ("succeeded", 1)


def test_memory_that_earlier_items_left_too_little_of_costs_no_attempt(desk, slot):
    job = desk.job_of(["succeed"], ["need_a_fresh_process"])
    assert [slot.carry(desk.claim()), slot.carry(desk.claim())] == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]
    first, again, fresh = runners(desk)
    assert (again, fresh != first) == (first, True)
    assert (desk.job(job).state, desk.job(job).attempt, desk.requeued(job)) == ("succeeded", 1, [])


def test_a_crash_in_a_runner_that_was_kept_spends_an_attempt(desk, slot):
    job = desk.job_of(["succeed"], ["be_killed", "succeed"])
    outcomes = [slot.carry(desk.claim()) for _ in range(3)]
    assert outcomes == [Outcome.SUCCEEDED, Outcome.CRASHED, Outcome.SUCCEEDED]
    assert (desk.job(job).state, desk.job(job).attempt) == ("succeeded", 2)
    assert desk.requeued(job) == ["worker_lost"]


def test_a_kept_runner_stops_when_its_job_is_cancelled(desk, slot):
    job = desk.job_of(["succeed"], ["work"])
    slot.carry(desk.claim())
    with carried(desk, slot) as future:
        until(lambda: len(runners(desk)) == 2, "the second item")
        with desk.database.transaction() as session:
            endings.cancel(session, states.lock(session, job))
        assert desk.outcome(future) is Outcome.CANCELLED
    assert (desk.job(job).state, desk.item(job, 1).state) == ("cancelled", "cancelled")
    assert slot._runner is None


def test_a_kept_runner_gives_its_item_back_at_a_shutdown(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, cancel_grace_s=10.0)
    job = desk.job_of(["succeed"], ["work"])
    with desk.supervisor.slot() as slot:
        slot.carry(desk.claim())
        with carried(desk, slot) as future:
            until(lambda: len(runners(desk)) == 2, "the second item")
            desk.supervisor.shutting_down.set()
            assert desk.outcome(future) is Outcome.GIVEN_BACK
    assert (desk.item(job, 1).state, desk.item(job, 1).attempt) == ("queued", 0)
    assert desk.requeued(job) == ["worker_shutdown"]


def test_a_kept_runner_that_ignores_sigterm_is_killed(desk, slot):
    job = desk.job_of(["succeed"], ["ignore_sigterm"])
    slot.carry(desk.claim())
    with carried(desk, slot) as future:
        runner = until(lambda: desk.marks("deaf"), "the second item") and runners(desk)[1]
        desk.supervisor.shutting_down.set()
        assert desk.outcome(future) is Outcome.GIVEN_BACK
    assert not is_alive(runner)
    assert (desk.item(job, 1).state, desk.item(job, 1).attempt) == ("queued", 0)


def test_the_time_of_a_kept_runner_is_counted_for_each_item(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, item_timeout_s=1.5)
    job = desk.job_of(["pause"], ["pause"], ["pause"], ["work"])
    with desk.supervisor.slot() as slot:
        begun = time.monotonic()
        assert [slot.carry(desk.claim()) for _ in range(3)] == [Outcome.SUCCEEDED] * 3
        assert time.monotonic() - begun > 1.5
        assert slot.carry(desk.claim()) is Outcome.CRASHED
    assert len(set(runners(desk))) == 1
    assert desk.job(job).failure["code"] == "timeout"


def test_a_kept_runner_without_a_sign_of_life_is_stalled(make_desk, shared_zygote):
    desk = make_desk(shared_zygote, item_silence_s=0.5)
    job = desk.job_of(["succeed"], ["hang"])
    with desk.supervisor.slot() as slot:
        slot.carry(desk.claim())
        assert slot.carry(desk.claim()) is Outcome.CRASHED
    assert not is_alive(runners(desk)[1])
    assert desk.requeued(job) == ["stalled"]


def test_a_kept_runner_whose_lease_is_lost_is_killed(desk, slot):
    job = desk.job_of(["succeed"], ["write_when_told"])
    slot.carry(desk.claim())
    with carried(desk, slot) as future:
        until(lambda: len(runners(desk)) == 2, "the second item")
        with desk.database.transaction() as session:
            item = session.get_one(type(desk.item(job)), desk.item(job, 1).id)
            item.lease_token += 1
            item.lease_owner = "another worker"
        assert desk.outcome(future) is Outcome.LOST
    assert not is_alive(runners(desk)[1])
    assert slot._runner is None

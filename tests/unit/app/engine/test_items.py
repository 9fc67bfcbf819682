from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import delete, select, update

from app.db.session import Database, database_time_s
from app.db.tables import Cell, Event, Job, Worker, WorkItem
from app.db.types import utc_now
from app.engine import recording
from app.engine.abilities import abilities
from app.engine.housekeeping import LostItems
from app.engine.items import claims, endings, leases, sweeps, taking_over
from app.engine.items.changes import Failure
from app.engine.items.leases import Lease, LeaseLost
from app.engine.kinds import next_round
from app.engine.kinds.inference import results
from app.engine.states import TransitionError, lock
from simulator.tasks import Score
from tests.unit.app.conftest import MakeJob

CRASH = Failure("worker_lost", "gone", retryable=True)


def take(database: Database, job_id: str, *, owner: str = "w1", lease_s: float = 60.0) -> Lease:
    with database.transaction() as session:
        lease = claims.claim(session, owner=owner, lease_s=lease_s, job_id=job_id)
    assert lease is not None
    return lease


def cancel(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        job = lock(session, job_id)
        assert job is not None
        endings.cancel(session, job)


def reap_expired(database: Database, *, max_attempts: int, spared_owner: str | None = None) -> list[str]:
    lost = LostItems(
        database, max_attempts=max_attempts, interval_s=1.0, grace_s=60.0, spared_owner=spared_owner
    )
    return lost.take_back()


def job_of(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return session.get_one(Job, job_id)


def item_of(database: Database, lease: Lease) -> WorkItem:
    with database.reading() as session:
        return session.get_one(WorkItem, lease.item_id)


def test_a_claimed_item_is_not_claimed_again(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    with database.transaction() as session:
        assert claims.claim(session, owner="w2", lease_s=60, job_id=job_id) is None
    assert lease.token == 1
    assert job_of(database, job_id).state == "running"


def test_many_workers_claim_each_item_once(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(*[(f"evaluate:{n}", []) for n in range(12)])
    claimed: list[str] = []

    def work(owner: str) -> None:
        while True:
            with database.transaction() as session:
                lease = claims.claim(session, owner=owner, lease_s=60, job_id=job_id)
            if lease is None:
                return
            claimed.append(lease.key)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(claimed) == sorted(f"evaluate:{n}" for n in range(12))


def test_an_item_waits_for_what_it_needs(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("finetune:hwa", []), ("evaluate:0", ["finetune:hwa"]))
    first = take(database, job_id)
    assert first.key == "finetune:hwa"
    with database.transaction() as session:
        assert claims.claim(session, owner="w2", lease_s=60, job_id=job_id) is None
        assert endings.succeed(session, first, next_round=next_round) == ["evaluate:0"]
    second = take(database, job_id)
    with database.transaction() as session:
        endings.succeed(session, second, next_round=next_round)
    job = job_of(database, job_id)
    assert (job.state, job.progress_done) == ("succeeded", 200)


def test_priority_comes_before_age(database: Database, make_job: MakeJob) -> None:
    make_job(("evaluate:0", []))
    urgent = make_job(("evaluate:0", []), priority=10)
    with database.transaction() as session:
        lease = claims.claim(session, owner="w", lease_s=60)
    assert lease is not None
    assert lease.job_id == urgent


def test_a_worker_that_lost_its_lease_can_write_nothing(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    stale = take(database, job_id, lease_s=-1)  # has run out already
    assert reap_expired(database, max_attempts=3) == [job_id]
    fresh = take(database, job_id, owner="w2")
    assert (fresh.token, fresh.attempt) == (2, 2)
    with database.transaction() as session:
        assert not leases.renew(session, stale, lease_s=60)
    writes = [
        lambda session: recording.save_progress(session, stale, 5),
        lambda session: results.save_cell(
            session,
            stale,
            variant="hwa",
            repeat=0,
            t_inference=1.0,
            counts={"correct": 9, "total": 10, "loss_sum": 1.0},
            progress_done=10,
        ),
        lambda session: endings.succeed(session, stale, next_round=next_round),
        lambda session: endings.release(session, stale),
        lambda session: endings.fail(session, stale, CRASH),
    ]
    for write in writes:
        with pytest.raises(LeaseLost), database.transaction() as session:
            write(session)
    assert item_of(database, fresh).state == "running"


def test_a_lease_that_is_renewed_is_not_reaped(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id, lease_s=-1)
    with database.transaction() as session:
        assert leases.renew(session, lease, lease_s=60)
    assert reap_expired(database, max_attempts=3) == []


def test_an_item_succeeds_under_the_lease_of_who_did_it(database: Database, make_job: MakeJob) -> None:
    lease = take(database, make_job(("evaluate:0", []), ("evaluate:1", [])))
    with database.transaction() as session:
        assert not leases.has_succeeded(session, lease)
        endings.succeed(session, lease, next_round=next_round)
        assert leases.has_succeeded(session, lease)
        assert not leases.has_succeeded(session, replace(lease, token=lease.token + 1))


def test_the_third_crash_fails_the_job(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []), ("evaluate:1", []))
    for attempt in (1, 2, 3):
        lease = take(database, job_id)
        assert lease.attempt == attempt
        with database.transaction() as session:
            endings.crash(session, lease, CRASH, max_attempts=3)
    job = job_of(database, job_id)
    assert job.state == "failed"
    assert job.failure == {**CRASH.as_json(), "item": "evaluate:0"}
    with database.transaction() as session:
        assert claims.claim(session, owner="w", lease_s=60, job_id=job_id) is None


def test_releasing_on_shutdown_spends_no_attempt(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    for _ in range(5):
        lease = take(database, job_id)
        assert lease.attempt == 1
        with database.transaction() as session:
            endings.release(session, lease)
    assert job_of(database, job_id).state == "running"


def test_cancelling_a_queued_job_is_immediate(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    cancel(database, job_id)
    assert job_of(database, job_id).state == "cancelled"


def test_cancelling_a_running_job_waits_for_its_runner(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []), ("evaluate:1", []))
    lease = take(database, job_id)
    cancel(database, job_id)
    assert job_of(database, job_id).state == "cancelling"
    with database.reading() as session:
        assert leases.stop_requested(session, lease)
    with database.transaction() as session:
        endings.stopped(session, lease)
    assert job_of(database, job_id).state == "cancelled"


def test_cancelling_a_job_whose_worker_died_ends_with_the_lease(
    database: Database, make_job: MakeJob
) -> None:
    job_id = make_job(("evaluate:0", []))
    take(database, job_id, lease_s=-1)
    cancel(database, job_id)
    reap_expired(database, max_attempts=3)
    assert job_of(database, job_id).state == "cancelled"


def test_a_job_that_finished_while_cancelling_has_succeeded(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    cancel(database, job_id)
    with database.transaction() as session:
        endings.succeed(session, lease, next_round=next_round)
    assert job_of(database, job_id).state == "succeeded"


def test_final_states_never_change(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    with database.transaction() as session:
        endings.fail(session, lease, CRASH)
    with pytest.raises(TransitionError), database.transaction() as session:
        job = lock(session, job_id)
        assert job is not None
        endings.cancel(session, job)
    assert job_of(database, job_id).state == "failed"


def test_a_cell_is_stored_once_and_counts_once(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    for correct in (9, 3):  # the second writer finds the cell there
        with database.transaction() as session:
            results.save_cell(
                session, lease, variant="hwa", repeat=0, t_inference=1.0,
                counts={"correct": correct, "total": 10, "loss_sum": 1.0}, progress_done=10,
            )  # fmt: skip
    with database.reading() as session:
        assert session.scalars(select(Cell.counts).where(Cell.job_id == job_id)).all() == [
            {"correct": 9, "total": 10, "loss_sum": 1.0}
        ]
    assert job_of(database, job_id).progress_done == 10


def test_a_cell_whose_batches_were_counted_is_not_counted_again(
    database: Database, make_job: MakeJob
) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    with database.transaction() as session:
        recording.save_progress(session, lease, 8)
        results.save_cell(
            session, lease, variant="hwa", repeat=0, t_inference=1.0,
            counts={"correct": 9, "total": 10, "loss_sum": 1.0}, progress_done=10,
        )  # fmt: skip
    assert job_of(database, job_id).progress_done == 10


def test_a_loss_that_is_not_finite_is_stored_as_absent(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    with database.transaction() as session:
        results.save_cell(
            session, lease, variant="hwa", repeat=0, t_inference=1.0,
            counts=Score(10, float("inf"), correct=1).counts(), progress_done=10,
        )  # fmt: skip
    with database.reading() as session:
        assert session.scalars(select(Cell.counts).where(Cell.job_id == job_id)).all() == [
            {"correct": 1, "total": 10}
        ]


def test_events_are_numbered_by_the_jobs_version(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    with database.transaction() as session:
        endings.succeed(session, lease, next_round=next_round)
    with database.reading() as session:
        rows = session.scalars(select(Event).where(Event.job_id == job_id).order_by(Event.seq)).all()
    assert [row.type for row in rows] == ["job.running", "item.started", "item.succeeded", "job.succeeded"]
    assert rows[-1].seq == job_of(database, job_id).version


def test_a_bell_rings_again_only_after_a_while(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    with database.transaction() as session:
        assert job_id in sweeps.unrung(session, older_than_s=60, most=1000)
    with database.transaction() as session:
        assert job_id not in sweeps.unrung(session, older_than_s=60, most=1000)
        session.execute(update(WorkItem).where(WorkItem.job_id == job_id).values(rung_at_s=0.0))
    with database.transaction() as session:
        assert job_id in sweeps.unrung(session, older_than_s=60, most=1000)


def test_a_bell_rings_for_no_more_items_than_workers_are_free_to_take(
    database: Database, make_job: MakeJob
) -> None:
    make_job(*[(f"evaluate:{n}", []) for n in range(20)])
    busy = make_job(("evaluate:0", []))
    take(database, busy, owner="half busy")
    with database.transaction() as session:
        before = sweeps.free_slots(session, silence_s=20)
        now_s = database_time_s(session)
        for name, heard_at_s, idle_reason in (
            ("half busy", now_s, None), ("free", now_s, None), ("gone", now_s - 30, None), ("full", now_s, "no room"),
        ):  # fmt: skip
            session.add(
                Worker(
                    id=name, hostname="h", pid=1, concurrency=2, started_at=utc_now(), heartbeat_at_s=heard_at_s,
                    idle_reason=idle_reason,
                )
            )  # fmt: skip
    try:
        with database.transaction() as session:
            free = sweeps.free_slots(session, silence_s=20)
            assert free - before == 3  # one of the first, two of the second, none of those that take nothing
            assert len(sweeps.unrung(session, older_than_s=60, most=free)) == free
    finally:
        with database.transaction() as session:
            session.execute(delete(Worker).where(Worker.id.in_(["half busy", "free", "gone", "full"])))


def evaluation(database: Database, make_job: MakeJob, *, priority: int = 0, variants: str = "aaa") -> str:
    """A job with an evaluation item of five chip instances for each letter, its variant."""
    keys = [f"evaluate:{5 * n}" for n in range(len(variants))]
    job_id = make_job(*[(key, []) for key in keys], priority=priority)
    with database.transaction() as session:
        for n, (key, variant) in enumerate(zip(keys, variants, strict=True)):
            item = session.scalars(
                select(WorkItem).where(WorkItem.job_id == job_id, WorkItem.key == key)
            ).one()
            item.payload = {"variant": variant, "repeats": [5 * n, 5 * n + 5]}
    return job_id


def take_over(database: Database, lease: Lease) -> tuple[list[list[int]], int]:
    with database.transaction() as session:
        return taking_over.take_over(session, lease)


def test_a_runner_takes_over_the_next_items_of_its_variant(database: Database, make_job: MakeJob) -> None:
    job_id = evaluation(database, make_job, variants="aab")
    lease = take(database, job_id)
    assert take_over(database, lease) == ([[0, 5], [5, 10]], 0)
    assert take_over(database, lease) == ([[0, 5], [5, 10]], 0)  # the next one is another variant
    item = item_of(database, lease)
    assert taking_over.repeats_of(item.payload) == [[0, 5], [5, 10]]
    assert item.progress_total == 200
    with database.transaction() as session:
        assert endings.succeed(session, lease, next_round=next_round) == []
    assert job_of(database, job_id).state == "running"
    assert take(database, job_id).key == "evaluate:10"
    assert job_of(database, job_id).progress_done == 200


def test_the_next_attempt_goes_on_with_what_was_taken_over(database: Database, make_job: MakeJob) -> None:
    job_id = evaluation(database, make_job, variants="aa")
    lease = take(database, job_id)
    take_over(database, lease)
    with database.transaction() as session:
        endings.crash(session, lease, CRASH, max_attempts=3)
    again = take(database, job_id)
    assert again.key == lease.key
    assert taking_over.repeats_of(again.payload) == [[0, 5], [5, 10]]
    with database.transaction() as session:
        endings.succeed(session, again, next_round=next_round)
    assert job_of(database, job_id).state == "succeeded"


def test_what_was_taken_over_is_taken_over_with_its_item(database: Database, make_job: MakeJob) -> None:
    job_id = evaluation(database, make_job)
    first, second = take(database, job_id), take(database, job_id)
    assert take_over(database, second) == ([[5, 10], [10, 15]], 0)
    with database.transaction() as session:
        recording.save_progress(session, second, 70)
        endings.release(session, second)
    assert take_over(database, first) == ([[0, 5], [5, 10], [10, 15]], 70)
    assert item_of(database, first).progress_total == 300


def test_nothing_is_taken_over_where_another_job_comes_first(database: Database, make_job: MakeJob) -> None:
    lease = take(database, evaluation(database, make_job))
    evaluation(database, make_job, priority=1)
    assert take_over(database, lease) == ([[0, 5]], 0)


def test_nothing_is_taken_over_when_the_job_is_being_cancelled(database: Database, make_job: MakeJob) -> None:
    job_id = evaluation(database, make_job)
    lease = take(database, job_id)
    cancel(database, job_id)
    assert take_over(database, lease) == ([[0, 5]], 0)


def test_a_worker_that_lost_its_lease_takes_over_nothing(database: Database, make_job: MakeJob) -> None:
    job_id = evaluation(database, make_job)
    lease = take(database, job_id, lease_s=-1.0)
    reap_expired(database, max_attempts=3)
    with pytest.raises(LeaseLost):
        take_over(database, lease)


def require(database: Database, job_id: str, ability: str) -> None:
    with database.transaction() as session:
        session.execute(update(WorkItem).where(WorkItem.job_id == job_id).values(requires=ability))


def test_a_worker_claims_what_it_is_able_to_do(database: Database, make_job: MakeJob) -> None:
    for _ in range(20):  # more than are looked at
        require(database, make_job(("evaluate:0", []), priority=1), "cuda/compiled")
    job_id = make_job(("evaluate:0", []))
    require(database, job_id, "auto/plain")
    able = abilities(["cpu"], ["plain"])
    with database.transaction() as session:
        lease = claims.claim(session, owner="w", lease_s=60, able=able)
    assert lease is not None
    assert lease.job_id == job_id


def test_the_first_item_fixes_the_device_for_all(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []), ("evaluate:1", []))
    with database.transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(spec={"device": "auto"}))
    lease = take(database, job_id)
    with database.transaction() as session:
        assert recording.pin_device(session, lease, found="cuda") == "cuda"
    with database.transaction() as session:
        able = abilities(["cpu"], ["plain", "compiled"])
        assert claims.claim(session, owner="w", lease_s=60, able=able, job_id=job_id) is None


def test_attempts_are_counted_anew_after_progress(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    for repeat in range(5):
        lease = take(database, job_id)
        with database.transaction() as session:
            results.save_cell(
                session,
                lease,
                variant="hwa",
                repeat=repeat,
                t_inference=1.0,
                counts={"total": 1, "loss_sum": 0.5},
                progress_done=repeat + 1,
            )
        with database.transaction() as session:
            endings.crash(session, lease, CRASH, max_attempts=2)
    assert job_of(database, job_id).state == "running"
    lease = take(database, job_id)  # the second attempt in a row without progress
    with database.transaction() as session:
        endings.crash(session, lease, CRASH, max_attempts=2)
    assert job_of(database, job_id).state == "failed"


def test_a_worker_spares_its_own_items(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    take(database, job_id, owner="me", lease_s=-1)
    assert reap_expired(database, max_attempts=3, spared_owner="me") == []
    assert reap_expired(database, max_attempts=3, spared_owner="another") == [job_id]


def test_a_claim_whose_answer_was_lost_is_found_again(database: Database, make_job: MakeJob) -> None:
    lease = take(database, make_job(("evaluate:0", [])), owner="me")
    with database.transaction() as session:
        assert claims.unheld(session, owner="me", held={lease.item_id}) is None
        assert claims.unheld(session, owner="another", held=()) is None
        assert claims.unheld(session, owner="me", held=()) == lease


def test_a_silent_runner_is_told_from_one_at_work(database: Database, make_job: MakeJob) -> None:
    lease = take(database, make_job(("evaluate:0", [])))

    def is_silent(for_s: float) -> bool:
        with database.reading() as session:
            return leases.is_silent(session, lease, for_s=for_s)

    assert not is_silent(60)
    assert is_silent(-1)
    with database.transaction() as session:
        session.execute(update(WorkItem).where(WorkItem.id == lease.item_id).values(heard_at_s=0.0))
    assert is_silent(60)
    with database.transaction() as session:
        recording.save_sign_of_life(session, lease)
    assert not is_silent(60)


def test_what_is_gone_is_computed_again(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("finetune:hwa", []), ("evaluate:0", ["finetune:hwa"]))
    first = take(database, job_id)
    with database.transaction() as session:
        recording.save_checkpoint(session, first, "content/0")
        endings.succeed(session, first, next_round=next_round)
    second = take(database, job_id)
    with database.transaction() as session:
        endings.compute_again(session, second, "finetune:hwa")
    assert job_of(database, job_id).progress_done == 0
    again = take(database, job_id)
    assert again.key == "finetune:hwa"
    with database.transaction() as session:
        assert claims.claim(session, owner="w", lease_s=60, job_id=job_id) is None  # it waits
        assert endings.succeed(session, again, next_round=next_round) == ["evaluate:0"]
    last = take(database, job_id)
    with database.transaction() as session:
        endings.succeed(session, last, next_round=next_round)
    assert job_of(database, job_id).state == "succeeded"


def test_a_job_whose_lease_ran_out_is_cancelled_at_once(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    take(database, job_id, lease_s=-1)
    cancel(database, job_id)
    assert job_of(database, job_id).state == "cancelled"


def test_progress_wakes_nobody(database: Database, make_job: MakeJob) -> None:
    job_id = make_job(("evaluate:0", []))
    lease = take(database, job_id)
    before = job_of(database, job_id).version
    with database.transaction() as session:
        recording.save_progress(session, lease, 50)
    job = job_of(database, job_id)
    assert (job.version, job.progress_done) == (before, 50)


def test_cells_and_baselines_are_a_new_version_of_the_results_and_progress_is_not(
    database: Database, make_job: MakeJob
) -> None:
    job_id = make_job(("evaluate:hwa:0", []))
    lease = take(database, job_id)
    counts = {"correct": 5, "total": 10, "loss_sum": 1.0}

    def version() -> int:
        return job_of(database, job_id).results_version

    for expected in (1, 1):  # the second is there already
        with database.transaction() as session:
            results.save_cell(
                session, lease, variant="hwa", repeat=0, t_inference=1.0, counts=counts, progress_done=1
            )
        assert version() == expected
    with database.transaction() as session:
        recording.save_progress(session, lease, 50)
    assert version() == 1
    with database.transaction() as session:
        results.save_baseline(session, lease, variant="hwa", counts=counts)
    assert version() == 2


def test_after_a_pause_owners_get_time_to_renew(
    database: Database, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("app.engine.housekeeping.time.time", lambda: now)
    lost = LostItems(database, max_attempts=3, interval_s=5.0, grace_s=20.0)
    job_id = make_job(("evaluate:0", []))
    take(database, job_id, lease_s=-1)
    for pause_s, reaped in ((100.0, []), (5.0, []), (5.0, []), (12.0, [job_id])):
        now += pause_s
        assert lost.take_back() == reaped


def test_what_waits_is_counted_for_those_who_can_do_it(database: Database, make_job: MakeJob) -> None:
    require(database, make_job(("evaluate:0", [])), "cuda/compiled")
    make_job(("evaluate:0", []), ("evaluate:1", ["evaluate:0"]))
    with database.reading() as session:
        assert sweeps.count_waiting(session, abilities(["cpu"], ["compiled"])) == 1

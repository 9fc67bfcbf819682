"""Fair share: whose item is claimed next, on each database, and whatever comes and goes."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, text, update
from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.session import Database
from app.db.tables import Job, Model, Project, WorkItem
from app.db.types import utc_now
from app.engine import turns
from app.engine.items import changes, claims, endings, leases, sweeps, taking_over
from app.engine.items.leases import Lease
from app.jobs.repository import JobRepository
from tests.unit.app.jobs_of import job_on

SAMPLES = 1000
SAMPLE_S = 0.01  # an item of so many samples costs 10 s, and its start next to nothing


@dataclass
class Shop:
    """A database with projects, and a worker that claims and ends items.

    Attributes:
        slowness: how many times as long as estimated the items of a project take.
    """

    database: Database
    slowness: dict[str, float] = field(default_factory=dict)

    def submit(self, project: str, size: int, *, priority: int = 0, samples: int = SAMPLES) -> str:
        """Store a job of so many items; return its id."""
        with self.database.transaction() as session:
            if session.get(Project, project) is None:
                session.add(Project(name=project))
                session.flush()
            model = Model(
                name="m", sha256=new_id().replace("-", "") * 2, size_bytes=1, blob_key="models/m", report={},
                project=project,
            )  # fmt: skip
            session.add(model)
            session.flush()
            job = job_on(model.id)
            job.project, job.priority, job.sample_s = project, priority, SAMPLE_S
            job.spec = {"task": "classification"}
            job.progress_total = size * samples
            job.queued_at = utc_now() - timedelta(minutes=1)
            rows = [
                WorkItem(
                    key=f"evaluate:{number}", kind="evaluate", needs=[], state="queued", progress_total=samples,
                    payload={"variant": "hwa", "repeats": [number, number + 1]},
                )
                for number in range(size)
            ]  # fmt: skip
            JobRepository(session).add(job, rows, {})
            job.left_s = turns.left_s(job)
            return job.id

    def claim(self, **options: Any) -> Lease | None:
        with self.database.transaction() as session:
            return claims.claim(session, owner="w", lease_s=60, **options)

    def work(self, session: Session, lease: Lease, part: float = 1.0) -> None:
        """Let a part of an item's work pass: as long as it was estimated, or so many times as long."""
        job, item = session.get(Job, lease.job_id), session.get(WorkItem, lease.item_id)
        seconds = item.charged_s * part * self.slowness.get(job.project, 1.0)
        item.started_at = turns.utc_now() - timedelta(seconds=seconds)
        session.flush()

    def end(self, lease: Lease) -> None:
        with self.database.transaction() as session:
            self.work(session, lease)
            endings.succeed(session, lease, next_round=lambda *_: [])

    def carry(self, most: int = 1000) -> list[str]:
        """Claim and end items one after another; return the jobs that they were of."""
        carried = []
        while len(carried) < most and (lease := self.claim()) is not None:
            carried.append(lease.job_id)
            self.end(lease)
        return carried


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> None:
    """Stop the clock of the accounts, so that an item takes what `Shop.work` says, however slow the machine is."""
    now = utc_now()
    monkeypatch.setattr(turns, "utc_now", lambda: now)


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


def test_projects_take_turns_whoever_came_first(shop):
    big, other = shop.submit("a", 6), shop.submit("b", 3)
    assert Counter(shop.carry(6)) == {big: 3, other: 3}
    assert shop.carry() == [big] * 3


def test_a_small_job_waits_for_one_item_of_a_large_one(shop):
    big = shop.submit("a", 6)
    assert shop.carry(2) == [big, big]
    small = shop.submit("a", 2, samples=SAMPLES // 2)
    assert shop.carry(2) == [small, small]
    assert shop.carry() == [big] * 4


def test_equal_jobs_are_done_one_after_another(shop):
    """Sharing the time among them would have all of them end late."""
    first, second, third = (shop.submit("a", 3) for _ in range(3))
    assert shop.carry() == [first] * 3 + [second] * 3 + [third] * 3


def test_a_job_that_has_begun_is_ended_before_one_with_as_much_left(shop):
    begun = shop.submit("a", 3)
    shop.carry(2)
    late = shop.submit("a", 1)
    assert shop.carry() == [begun, late]


def test_priorities_count_within_a_project_alone(shop):
    urgent, patient = shop.submit("a", 4, priority=100), shop.submit("a", 4)
    other = shop.submit("b", 4, priority=-100)
    found = shop.carry(8)
    assert Counter(found) == {urgent: 4, other: 4}
    assert shop.carry() == [patient] * 4


def test_the_seconds_are_shared_and_not_the_items(shop):
    long, short = shop.submit("a", 4, samples=4 * SAMPLES), shop.submit("b", 16)
    found = Counter(shop.carry(10))
    assert found[short] in (7, 8)
    assert found[long] in (2, 3)


def test_a_project_has_the_share_that_its_row_says(shop):
    first, second = shop.submit("a", 30), shop.submit("b", 30)
    with shop.database.transaction() as session:
        session.execute(update(Project).where(Project.name == "a").values(share=2.0))
    found = Counter(shop.carry(30))
    assert found[first] in (19, 20, 21)
    assert found[second] == 30 - found[first]


def test_who_was_idle_has_saved_nothing_up(shop):
    shop.submit("a", 20)
    first = shop.submit("b", 1)
    assert first in shop.carry(10)
    late = shop.submit("b", 10)
    assert Counter(shop.carry(6))[late] in (3, 4)  # not six of six


@pytest.mark.parametrize("size", [1, 3])
def test_half_of_the_time_goes_to_the_oldest_job_however_many_small_ones_come(shop, size):
    big = shop.submit("a", 20)
    shop.carry(1)
    found = []
    for _ in range(12):
        shop.submit("a", size)  # more than half of the time could do
        found += shop.carry(1)
    assert found.count(big) in (5, 6, 7)


def test_the_oldest_job_gets_half_of_the_time_and_not_of_the_items(shop):
    big = shop.submit("a", 40)
    shop.carry(1)
    for _ in range(40):
        shop.submit("a", 1, samples=3 * SAMPLES)
    found = Counter(shop.carry(40))
    assert found[big] in range(28, 33)


def test_a_small_job_starts_soon_however_long_others_passed_the_oldest_one(shop):
    """One item of a small job took a hundred times as long as it was estimated: that is not made up at once."""
    big = shop.submit("a", 400)
    shop.submit("a", 1)
    shop.slowness["a"] = 100.0
    assert shop.carry(1) != [big]
    shop.slowness["a"] = 1.0
    small = shop.submit("a", 1)
    assert small in shop.carry(8)  # 60 s, items of 10 s


def test_what_a_worker_is_not_able_to_do_keeps_nobody_waiting(shop):
    gpu, cpu = shop.submit("a", 2), shop.submit("b", 2)
    with shop.database.transaction() as session:
        session.execute(update(WorkItem).where(WorkItem.job_id == gpu).values(requires="cuda/compiled"))
    able = ["auto/compiled"]
    assert [shop.claim(able=able).job_id for _ in range(2)] == [cpu, cpu]
    assert shop.claim(able=able) is None


def test_a_runner_takes_nothing_over_where_another_job_comes_next(shop):
    big = shop.submit("a", 4)
    lease = shop.claim()
    with shop.database.transaction() as session:
        assert len(taking_over.take_over(session, lease)[0]) == 2  # nobody else waits
    small = shop.submit("b", 1)
    with shop.database.transaction() as session:
        assert len(taking_over.take_over(session, lease)[0]) == 2  # unchanged
    shop.end(lease)
    assert shop.carry(1) == [small]
    assert shop.carry() == [big] * 2


def test_an_item_gives_way_to_a_job_of_which_nothing_was_begun(shop):
    shop.submit("a", 3)
    lease = shop.claim()

    def gives_way() -> bool:
        with shop.database.reading() as session:
            return claims.gives_way(session, lease)

    assert not gives_way()
    small = shop.submit("a", 2)
    assert gives_way()
    found = shop.claim()
    assert found.job_id == small
    assert not gives_way()  # the small job has begun, and whoever is free goes on with it


def test_an_item_gives_way_to_no_job_with_as_much_work(shop):
    shop.submit("a", 2)
    lease = shop.claim()
    shop.submit("a", 2)
    with shop.database.reading() as session:
        assert not claims.gives_way(session, lease)


def test_an_item_that_is_nearly_done_gives_way_to_nothing_larger_than_its_rest(shop):
    shop.submit("a", 1, samples=4 * SAMPLES)
    lease = shop.claim()

    def gives_way() -> bool:
        with shop.database.reading() as session:
            return claims.gives_way(session, lease)

    shop.submit("a", 1, samples=2 * SAMPLES)
    assert gives_way()
    with shop.database.transaction() as session:
        leases.set_progress(*leases.hold(session, lease), 3 * SAMPLES)
    assert not gives_way()


def test_an_item_gives_way_to_no_job_that_a_free_worker_is_about_to_take(shop):
    shop.submit("a", 3)
    lease = shop.claim()
    small = shop.submit("a", 1)
    with shop.database.transaction() as session:
        session.execute(update(Job).where(Job.id == small).values(queued_at=utc_now()))
    with shop.database.reading() as session:
        assert not claims.gives_way(session, lease)


def test_an_item_gives_way_to_no_lower_priority_of_its_project(shop):
    shop.submit("a", 1, priority=5)
    lease = shop.claim()
    shop.submit("a", 1, priority=4)
    with shop.database.reading() as session:
        assert not claims.gives_way(session, lease)
    shop.submit("b", 1, priority=-4)
    with shop.database.reading() as session:
        assert claims.gives_way(session, lease)


def test_what_an_item_that_gave_way_did_not_do_is_not_charged(shop):
    job_id = shop.submit("a", 1)
    lease = shop.claim()
    with shop.database.transaction() as session:
        job, item = leases.hold(session, lease)
        leases.set_progress(job, item, SAMPLES // 4)
        shop.work(session, lease, 0.25)
        endings.release(session, lease, reason="gave_way")
    with shop.database.reading() as session:
        job, project = session.get(Job, job_id), session.get(Project, "a")
        assert job.left_s == pytest.approx(7.5, abs=0.5)
        assert project.served_s == pytest.approx(2.5, abs=0.5)
        assert session.scalars(select(WorkItem.attempt)).one() == 0


def test_a_project_whose_estimates_are_low_gets_no_more_than_its_share(shop):
    """Each item of one project takes four times as long as it was estimated: it does a quarter as many."""
    shop.slowness["a"] = 4.0
    low, honest = shop.submit("a", 30), shop.submit("b", 30)
    found = Counter(shop.carry(25))
    assert found[low] in (4, 5, 6)
    assert found[honest] == 25 - found[low]


def test_a_project_whose_estimates_are_high_gets_no_less(shop):
    shop.slowness["a"] = 0.25
    high, honest = shop.submit("a", 30), shop.submit("b", 30)
    found = Counter(shop.carry(25))
    assert found[honest] in (4, 5, 6)
    assert found[high] == 25 - found[honest]


@pytest.mark.parametrize("how", ["succeed", "crash", "fail", "reap", "cancel", "take over"])
def test_whatever_ends_an_item_it_is_charged_what_it_took(shop, how):
    shop.slowness["a"] = 3.0
    job_id = shop.submit("a", 2)
    lease = shop.claim()
    estimated_s = SAMPLES * SAMPLE_S + turns.ITEM_S
    with shop.database.transaction() as session:
        if how == "take over":
            taking_over.take_over(session, lease)
            estimated_s *= 2
        shop.work(session, lease)
        lost = changes.Failure("worker_lost", "it is gone")
        if how in ("succeed", "take over"):
            endings.succeed(session, lease, next_round=lambda *_: [])
        elif how == "crash":
            endings.crash(session, lease, lost, max_attempts=3)
        elif how == "fail":
            endings.fail(session, lease, lost)
        elif how == "reap":
            session.get(WorkItem, lease.item_id).lease_expires_s = 0.0
            session.flush()
            assert sweeps.reap(session, job_id, lease.item_id, max_attempts=3)
        else:
            endings.cancel(session, session.get(Job, job_id))
            endings.stopped(session, lease)
    with shop.database.reading() as session:
        assert session.get(Project, "a").served_s == pytest.approx(3 * estimated_s, abs=1)
        assert set(session.scalars(select(WorkItem.charged_s))) == {None}


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_claim_reads_the_first_few_jobs_and_not_all_that_wait(shop, state):
    """The index has the jobs in the order of their turns: the database sorts none, and stops after a few."""
    shop.submit("a", 1)
    asked: list[tuple[str, object]] = []

    def note(_connection, _cursor, statement, parameters, *_):
        if "FROM jobs" in statement and "LIMIT" in statement:
            asked.append((statement, parameters))

    event.listen(shop.database.engine, "before_cursor_execute", note)
    try:
        with shop.database.reading() as session:
            next(turns.in_turn(session))
    finally:
        event.remove(shop.database.engine, "before_cursor_execute", note)
    of_state = [one for one in asked if state in str(one[1])]
    assert of_state
    sqlite = shop.database.engine.dialect.name == "sqlite"
    for statement, parameters in of_state:
        with shop.database.engine.connect() as connection:
            if not sqlite:  # a table of a few rows is read whole, unless it is forbidden
                connection.execute(text("SET LOCAL enable_seqscan = off"))
                connection.execute(text("SET LOCAL enable_bitmapscan = off"))
            explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            plan = str(connection.exec_driver_sql(explain + statement, parameters).all())
        assert "ix_jobs_project_state_turn" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
        assert "Sort" not in plan, plan


def test_the_place_in_the_queue_is_that_of_the_claims(shop):
    shop.submit("a", 1, priority=9)
    shop.submit("a", 1)
    last = shop.submit("a", 1)
    shop.submit("b", 5)
    shop.submit("b", 5)
    with shop.database.reading() as session:
        before = turns.jobs_before(session, session.get(Job, last))
    found = shop.carry()
    assert before in (2, 3)  # of the other project, one job counts if it comes first
    assert found.index(last) <= before + 3  # accounts that are equal but for milliseconds fall either way


arrivals = st.lists(
    st.tuples(
        st.sampled_from("abc"),  # project
        st.integers(1, 6),  # items
        st.integers(1, 4),  # thousands of samples
        st.integers(0, 5),  # claims before the next arrival
    ),
    min_size=2,
    max_size=12,
)


@given(arrivals)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_projects_that_wait_all_the_time_get_equal_time_to_an_item(sqlite_url, arriving):
    """The bound of start-time fair queueing: over any stretch, they differ by an item of each at most."""
    copy = f"{sqlite_url}.{new_id()}"
    shutil.copyfile(sqlite_url.removeprefix("sqlite:///"), copy.removeprefix("sqlite:///"))
    shop = Shop(Database(copy))
    project_of: dict[str, str] = {}
    history: list[tuple[str, float, frozenset[str]]] = []  # who was served how long, and who waited then

    def serve(claims: int) -> None:
        for _ in range(claims):
            with shop.database.reading() as session:
                waiting = session.scalars(select(WorkItem.job_id).where(WorkItem.state == "queued")).all()
            lease = shop.claim()
            if lease is None:
                return
            with shop.database.reading() as session:
                job, item = session.get(Job, lease.job_id), session.get(WorkItem, lease.item_id)
                served = turns.cost_s(job, item)
            waited = frozenset(project_of[job_id] for job_id in waiting)
            history.append((project_of[lease.job_id], served, waited))
            shop.end(lease)

    for project, size, thousands, claimed in arriving:
        project_of[shop.submit(project, size, samples=thousands * SAMPLES)] = project
        serve(claimed)
    serve(1000)
    shop.database.dispose()
    largest = 4 * SAMPLES * SAMPLE_S + turns.ITEM_S
    for one, other in combinations("abc", 2):
        for start in range(len(history)):
            got = {one: 0.0, other: 0.0}
            for project, served, waited in history[start:]:
                if not {one, other} <= waited:
                    break
                if project in got:
                    got[project] += served
                assert abs(got[one] - got[other]) <= 2 * largest + 1e-6


def test_many_workers_at_once_do_every_item_once_and_wait_for_nobody_for_ever(shop):
    jobs = [shop.submit(project, 4) for project in "ab" for _ in range(4)]
    carried: list[str] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            while (lease := shop.claim()) is not None:
                with shop.database.reading() as session:
                    claims.gives_way(session, lease)
                shop.end(lease)
                carried.append(lease.item_id)
        except BaseException as fault:  # a deadlock, say
            faults.append(fault)
            raise

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert not faults
    assert len(carried) == len(set(carried)) == 4 * len(jobs)
    with shop.database.reading() as session:
        assert set(session.scalars(select(Job.state))) == {"succeeded"}
        accounts = session.scalars(select(Project.served_s).where(Project.name.in_(["a", "b"]))).all()
    assert accounts[0] == pytest.approx(accounts[1], abs=10 * 6 + 1)  # an item of each worker

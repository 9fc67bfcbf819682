"""Reads that are asked for in the same moment: done at once, each answered as its caller may see it."""

import asyncio
import threading

import pytest
from sqlalchemy import event, select

from app.db.tables import Event, Job, Project
from app.jobs.news import EVENTS_AT_ONCE, Since, read_news
from app.kit.access import Caller, Scope, act_as
from app.kit.together import Together


def caller(project):
    return Caller(name="someone", project=project, scopes=frozenset({Scope.READ}))


def echo(session, questions):
    return {question: question for question in questions}


class Read:
    """A read that goes on until it is let go, and notes what it was asked."""

    def __init__(self, answer=echo):
        self.asked, self.may_end, self.begun, self._answer = [], threading.Event(), threading.Event(), answer

    def __call__(self, session, questions):
        self.asked.append(sorted(questions))
        self.begun.set()
        assert self.may_end.wait(30)
        return self._answer(session, questions)


async def begun(read):
    assert await asyncio.to_thread(read.begun.wait, 30)


def test_who_asks_during_a_read_is_in_the_next_one_with_all_others(database):
    async def run():
        act_as(caller(None))
        read = Read()
        reads = Together(database, read, most=50, patience_s=60)
        first = [asyncio.create_task(reads.ask(n)) for n in (1, 2, 2)]
        await begun(read)
        rest = [asyncio.create_task(reads.ask(n)) for n in (3, 4, 5)]
        await asyncio.sleep(0)
        read.may_end.set()
        assert await asyncio.gather(*first, *rest) == [1, 2, 2, 3, 4, 5]
        assert read.asked == [[1, 2], [3, 4, 5]]

    asyncio.run(run())


def test_no_read_answers_more_than_it_may(database):
    async def run():
        act_as(caller(None))
        read = Read()
        read.may_end.set()
        reads = Together(database, read, most=3, patience_s=60)
        assert await asyncio.gather(*(reads.ask(n) for n in range(7))) == list(range(7))
        assert read.asked == [[0, 1, 2], [3, 4, 5], [6]]

    asyncio.run(run())


def test_a_slow_read_does_not_hold_up_the_next_one(database):
    async def run():
        act_as(caller(None))
        slow = Read()

        def answer(session, questions):
            return slow(session, questions) if 1 in questions else echo(session, questions)

        reads = Together(database, answer, most=50, patience_s=0.05)
        first = asyncio.create_task(reads.ask(1))
        await begun(slow)
        assert await asyncio.wait_for(reads.ask(2), 30) == 2
        assert not first.done()
        slow.may_end.set()
        assert await first == 1

    asyncio.run(run())


def test_who_goes_away_takes_no_other_with_him(database):
    async def run():
        act_as(caller(None))
        read = Read()
        reads = Together(database, read, most=50, patience_s=60)
        gone, stays = (asyncio.create_task(reads.ask(n)) for n in (1, 2))
        await begun(read)
        gone.cancel()
        read.may_end.set()
        assert await stays == 2
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await reads.ask(3) == 3

    asyncio.run(run())


def test_what_fails_fails_for_all_who_were_in_it_and_for_no_one_after(database):
    async def run():
        act_as(caller(None))

        def fail(session, questions):
            if 1 in questions:
                raise RuntimeError("no luck")
            return echo(session, questions)

        reads = Together(database, fail, most=50)
        found = await asyncio.gather(reads.ask(1), reads.ask(2), return_exceptions=True)
        assert [str(one) for one in found] == ["no luck", "no luck"]
        assert await reads.ask(2) == 2

    asyncio.run(run())


def test_each_is_answered_as_his_own_project_sees_it(database, make_job):
    job_id = make_job(("evaluate:0", []))
    with database.transaction() as session:
        session.add(Project(name="other"))
        own = session.get_one(Job, job_id).project

    def read(session, questions):
        there = set(session.scalars(select(Job.id)))
        return {question: question in there for question in questions}

    async def run():
        reads = Together(database, read, most=50)

        async def asks(project):
            act_as(caller(project))
            return await reads.ask(job_id)

        # In tasks of their own, as requests are; they are all in one read.
        return await asyncio.gather(*(asyncio.create_task(asks(one)) for one in (own, "other", None)))

    assert asyncio.run(run()) == [True, False, True]


def test_nobody_asks_without_a_caller(database):
    with pytest.raises(LookupError):
        asyncio.run(Together(database, echo, most=1).ask(1))


def counted(database, work):
    """How many statements the work took, and what it returned."""
    statements = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with database.reading() as session:
        found = work(session)
    return len([one for one in statements if one.startswith("SELECT")]), found


def test_streams_that_wake_together_cost_as_many_statements_as_one(database, make_job):
    jobs = [make_job(("evaluate:0", [])) for _ in range(12)]
    with database.transaction() as session:
        for job_id in jobs:
            session.get_one(Job, job_id).version = 3
            session.add_all(Event(job_id=job_id, seq=seq, type="job.measured", data={}) for seq in (1, 2, 3))
    one, _ = counted(database, lambda session: read_news(session, [Since(jobs[0], 1)]))
    asked = [Since(job_id, after) for after, job_id in enumerate(jobs)] + [
        Since(jobs[0], 2),
        Since("none", 0),
    ]
    all_of_them, found = counted(database, lambda session: read_news(session, asked))
    assert all_of_them == one
    for since in asked[:-1]:
        news = found[since]
        ids = [int(line[4:]) for line in news.frames.decode().splitlines() if line.startswith("id: ")]
        assert ids == [seq for seq in (1, 2, 3) if seq > since.after]
        assert news.last == max(3, since.after) or not ids
        assert not news.may_be_more
    assert found[Since("none", 0)] is None


def test_a_stream_that_lacks_many_events_gets_them_a_part_at_a_time(database, make_job):
    job_id, most = make_job(("evaluate:0", [])), EVENTS_AT_ONCE
    with database.transaction() as session:
        session.get_one(Job, job_id).version = most + 5
        session.add_all(
            Event(job_id=job_id, seq=seq, type="job.measured", data={}) for seq in range(1, most + 6)
        )
    with database.reading() as session:
        first = read_news(session, [Since(job_id, 0), Since(job_id, most)])
        assert (first[Since(job_id, 0)].last, first[Since(job_id, 0)].may_be_more) == (most, True)
        assert (first[Since(job_id, most)].last, first[Since(job_id, most)].may_be_more) == (most + 5, False)

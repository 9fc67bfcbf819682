"""Sessions of a project, on each database: whatever a statement looks like, it sees that project alone."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, exists, func, insert, select, union_all, update
from sqlalchemy.orm import aliased

from app.db.scope import EVERY_PROJECT
from app.db.tables import (
    ApiKey,
    Base,
    Cell,
    Event,
    Job,
    JobTag,
    KeySecret,
    Model,
    OfJob,
    OfWebhook,
    Owned,
    Project,
    ServiceFact,
    Speed,
    Worker,
)  # fmt: skip
from app.db.types import utc_now
from tests.unit.app.jobs_of import job_on

SHARED = {Project, ApiKey, KeySecret, ServiceFact, Speed, Worker}


@pytest.fixture
def jobs(database) -> dict[str, str]:
    """A job in each of two projects, with a tag and an event each; ids by project."""
    found = {}
    with database.transaction() as session:
        for name in ("a", "b"):
            session.execute(insert(Project).values(name=name, created_at=utc_now()))
    for name in ("a", "b"):
        with database.within(lambda name=name: name).transaction() as session:
            model = Model(name="m", sha256="0" * 64, size_bytes=1, blob_key="models/m", report={})
            session.add(model)
            session.flush()
            job = job_on(model.id)
            session.add(job)
            session.flush()
            session.add_all([JobTag(job_id=job.id, tag="t"), Event(job_id=job.id, seq=1, type="x", data={})])
            found[name] = job.id
    return found


def within(database, name):
    return database.within(lambda: name)


def test_every_table_is_a_projects_or_is_said_to_be_everybodys():
    for table in (mapper.class_ for mapper in Base.registry.mappers):
        assert issubclass(table, Owned | OfJob | OfWebhook) != (table in SHARED), table


def test_a_row_belongs_to_the_project_of_the_session_that_adds_it(database, jobs):
    with database.reading() as session:
        assert session.get(Job, jobs["a"]).project == "a"
        assert session.get(Job, jobs["b"]).project == "b"


SELECTS = {
    "rows": lambda: select(Job.id),
    "aliases": lambda: select(aliased(Job).id),
    "rows of a job": lambda: select(Event.job_id),
    "subqueries": lambda: select(Job.id).where(Job.id.in_(select(JobTag.job_id).where(JobTag.tag == "t"))),
    "conditions": lambda: select(Event.job_id).where(exists().where(Job.id == Event.job_id)),
    "joins": lambda: select(JobTag.job_id).join(Job, Job.id == JobTag.job_id),
    "unions": lambda: select(union_all(select(Job.id), select(Event.job_id)).subquery()),
    "tables within": lambda: select(select(Job.id).where(Job.state == "queued").subquery().c.id),
    "common tables": lambda: select(select(Event.job_id).cte().c.job_id),
    "correlated": lambda: select(
        select(func.max(Job.id)).where(Job.id == JobTag.job_id).correlate(JobTag).scalar_subquery()
    ).select_from(JobTag),
    "in order": lambda: select(Job.id).order_by(Job.id.desc()).limit(10),
    "locked": lambda: select(Job.id).with_for_update(),
}


@pytest.mark.parametrize("statement", SELECTS.values(), ids=SELECTS.keys())
def test_a_select_sees_its_project_alone(database, jobs, statement):
    for name in ("a", "b"):
        with within(database, name).transaction() as session:
            assert set(session.scalars(statement())) == {jobs[name]}
    with database.transaction() as session:
        assert set(session.scalars(statement())) == set(jobs.values())


def test_counts_and_ids_see_their_project_alone(database, jobs):
    with within(database, "a").reading() as session:
        assert session.scalars(select(func.count()).select_from(Job)).one() == 1
        assert session.get(Job, jobs["a"]) is not None
        assert session.get(Job, jobs["b"]) is None
        assert session.get(Event, (jobs["b"], 1)) is None
        assert session.get(JobTag, (jobs["a"], "t")) is not None


def test_changes_and_deletions_touch_their_project_alone(database, jobs):
    with within(database, "a").transaction() as session:
        quietly = {"synchronize_session": False}
        session.execute(update(Job).values(priority=5).execution_options(**quietly))
        session.execute(update(Event).values(type="y").execution_options(**quietly))
        session.execute(delete(JobTag).execution_options(**quietly))
    with database.reading() as session:
        assert dict(session.execute(select(Job.id, Job.priority)).all()) == {jobs["a"]: 5, jobs["b"]: 0}
        assert dict(session.execute(select(Event.job_id, Event.type)).all()) == {
            jobs["a"]: "y",
            jobs["b"]: "x",
        }
        assert session.scalars(select(JobTag.job_id)).all() == [jobs["b"]]


def test_all_projects_are_seen_where_that_is_said(database, jobs):
    with within(database, "a").reading() as session:
        assert set(session.scalars(select(Job.id), execution_options=EVERY_PROJECT)) == set(jobs.values())
        assert set(session.scalars(select(Job.id))) == {jobs["a"]}


def test_a_row_of_another_project_is_not_added(database, jobs):
    with pytest.raises(PermissionError), within(database, "a").transaction() as session:
        job = job_on(session.scalars(select(Model.id)).one())
        job.project = "b"
        session.add(job)
        session.flush()


def test_where_nobody_asks_nothing_is_seen(database):
    def nobody() -> str:
        raise LookupError

    with pytest.raises(LookupError), database.within(nobody).reading():
        pass
    with pytest.raises(LookupError), database.within(nobody).transaction():
        pass


def test_what_a_session_of_one_project_read_says_nothing_to_the_next(database, jobs):
    """Statements are compiled once; the project is a parameter of them."""
    for name in ("a", "b", "a", "b"):
        with within(database, name).reading() as session:
            assert session.scalars(select(Job.project)).all() == [name]
            assert session.scalars(select(Cell.job_id)).all() == []
            assert session.scalars(select(Event.job_id)).all() == [jobs[name]]

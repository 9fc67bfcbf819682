"""What is kept of results, and who computes them."""

import anyio
import pytest

from app.db.session import Database
from app.db.tables import Cell, Job
from app.results.cells import Cells
from app.results.formats import ResultsFormat
from app.results.reader import ResultReader, _Kept
from driftline import plots
from tests.unit.app.conftest import MakeJob


@pytest.fixture
def job_id(database: Database, make_job: MakeJob) -> str:
    job_id = make_job(("evaluate:hwa:0", []))
    with database.transaction() as session:
        job = session.get_one(Job, job_id)
        job.spec, job.state, job.results_version = {"task": "classification"}, "succeeded", 1
        session.add_all(
            Cell(
                job_id=job_id,
                variant="hwa",
                repeat=n,
                t_inference=1.0,
                counts={"correct": n, "total": 10, "loss_sum": 1.0},
            )
            for n in range(4)
        )
    return job_id


@pytest.fixture
def reads(monkeypatch):
    """How often cells were read from the database, and pictures drawn."""
    found = {"cells": 0, "pictures": 0}
    read, draw = Cells.read.__func__, plots.accuracy

    def counted_read(cls, session, job):
        found["cells"] += 1
        return read(cls, session, job)

    def counted_draw(*arguments):
        found["pictures"] += 1
        return draw(*arguments)

    monkeypatch.setattr(Cells, "read", classmethod(counted_read))
    monkeypatch.setattr(plots, "accuracy", counted_draw)
    return found


def test_many_who_ask_for_the_same_have_it_computed_once(database, job_id, reads):
    async def ask() -> list[bytes]:
        reader, pictures = ResultReader(database), []

        async def one() -> None:
            pictures.append(await reader.picture(await reader.summary(job_id), ResultsFormat.SVG))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)
        return pictures

    pictures = anyio.run(ask)
    assert len(pictures) == 20
    assert len(set(pictures)) == 1
    assert reads == {"cells": 1, "pictures": 1}


def test_a_new_version_is_computed_anew(database, job_id, reads):
    async def ask() -> list[int]:
        reader = ResultReader(database)
        found = [len((await reader.summary(job_id)).answer["series"][0]["points"])]
        with database.transaction() as session:
            session.add(
                Cell(
                    job_id=job_id,
                    variant="hwa",
                    repeat=0,
                    t_inference=60.0,
                    counts={"correct": 1, "total": 10, "loss_sum": 1.0},
                )
            )
            session.get_one(Job, job_id).results_version += 1
        found.append(len((await reader.summary(job_id)).answer["series"][0]["points"]))
        return found

    assert anyio.run(ask) == [1, 2]
    assert reads["cells"] == 2


def test_a_reader_that_waits_holds_no_connection(database, job_id):
    async def ask() -> int:
        reader = ResultReader(database)
        _, pieces = await reader.pieces(job_id, ResultsFormat.JSON, test_set_ci=False)
        first = await anext(pieces)
        assert first.startswith(b'{"job":')
        return database.engine.pool.checkedout()

    assert anyio.run(ask) == 0


def test_what_was_asked_for_last_is_kept_up_to_a_size():
    kept = _Kept[bytes](10, len)
    for key in "abc":
        kept.put(key, b"1234")
        kept.get("a")
    assert [kept.get(key) for key in "abc"] == [b"1234", None, b"1234"]
    kept.put("large", b"12345678901")
    assert kept.get("large") is None

"""The machine's speed is measured once, and never while work runs."""

import time

import pytest
import sqlalchemy as sa

from app.db.session import Database
from app.db.tables import Speed
from worker.speed.schedule import Gauge


@pytest.fixture
def database(sqlite_url):
    database = Database(sqlite_url)
    yield database
    database.dispose()


def rows(database):
    with database.reading() as session:
        return list(session.scalars(sa.select(Speed)))


def measure(gauge, database):
    deadline = time.monotonic() + 120
    while not rows(database) and time.monotonic() < deadline:
        gauge.tick()
        time.sleep(0.1)


@pytest.mark.slow
def test_a_measurement_gives_way_to_work_and_is_made_later(database):
    gauge = Gauge(database, 1)
    gauge.tick()
    gauge.give_way()
    gauge.give_way()
    time.sleep(0.2)
    assert rows(database) == []

    measure(gauge, database)
    (row,) = rows(database)
    rates = row.measured["evaluate"]["digital"]
    assert 0 < rates["mac"] < 1e-6
    assert row.measured["program_device"] > 0

    written = row.measured
    another = Gauge(database, 1)
    another.tick()
    another.tick()
    assert [row.measured for row in rows(database)] == [written]
    another.give_way()

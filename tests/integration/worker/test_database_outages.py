"""A database that is away while a runner works: for less than a lease it costs time, for longer an attempt."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from app.engine.housekeeping import LostItems
from tests.acceptance.proxy import Proxy
from tests.waiting import until
from worker.supervision.supervisor import Outcome


@pytest.fixture
def proxy(database_url):
    url = sa.make_url(database_url)
    with Proxy(url.host or "127.0.0.1", url.port or 5432) as proxy:
        yield proxy


@pytest.fixture
def make_cut_off_desk(make_desk, shared_zygote, database_url, proxy):
    """Make a desk whose supervisor and runners reach the database through the proxy; the test does not."""
    url = sa.make_url(database_url).set(host="127.0.0.1", port=proxy.port)

    def make(**changes):
        through = url.render_as_string(hide_password=False)
        return make_desk(shared_zygote, database_url=through, **changes)

    return make


POSTGRES = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@POSTGRES
def test_less_than_a_lease_costs_no_attempt(make_cut_off_desk, proxy):
    desk = make_cut_off_desk(lease_s=10.0)
    job = desk.job_of(["write_when_told"])
    carried = desk.begin()
    desk.runner()
    with proxy.away():
        desk.enough()
        until(lambda: desk.marks("writing"), "the runner to write")
        time.sleep(1.0)  # its first tries, and some heartbeats
        assert not carried.done()
        assert desk.job(job).warnings == []
    assert desk.outcome(carried) is Outcome.SUCCEEDED
    assert (desk.job(job).state, desk.item(job).attempt) == ("succeeded", 0)
    assert len(desk.job(job).warnings) == 1


@POSTGRES
def test_a_cut_connection_costs_no_attempt(make_cut_off_desk, proxy):
    desk = make_cut_off_desk()
    job = desk.job_of(["work"])
    carried = desk.begin()
    desk.runner()
    first = desk.item(job).lease_expires_s
    for _ in range(5):
        proxy.cut()
        before = desk.item(job).lease_expires_s
        until(lambda before=before: desk.item(job).lease_expires_s > before, "a heartbeat after the cut")
    desk.enough()
    assert desk.outcome(carried) is Outcome.SUCCEEDED
    assert desk.item(job).attempt == 0
    assert first is not None
    assert desk.job(job).state == "succeeded"


@POSTGRES
def test_longer_than_a_lease_costs_one_attempt(make_cut_off_desk, proxy):
    desk = make_cut_off_desk(lease_s=0.6, max_attempts=2)
    lost = LostItems(desk.database, max_attempts=2, interval_s=0.1, grace_s=0.6)
    job = desk.job_of(["write_when_told", "succeed"])
    carried = desk.begin()
    desk.runner()
    with proxy.away():
        desk.enough()
        assert desk.outcome(carried) is Outcome.UNRECORDED
        until(lambda: job in lost.take_back(), "the item to be taken back")
    assert (desk.item(job).state, desk.item(job).attempt) == ("queued", 1)
    assert desk.job(job).warnings == []
    assert desk.carry() is Outcome.SUCCEEDED
    assert (desk.job(job).state, desk.job(job).attempt) == ("succeeded", 2)

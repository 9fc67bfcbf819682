"""A node by itself: it claims what it is able to do, stops when it is told, and leaves nothing behind."""

from __future__ import annotations

import socket

import pytest

from app.db.tables import Speed, Worker
from app.engine.broker import make_celery
from tests.waiting import until
from worker.node import Node
from worker.protocol import SPEED_REVISION
from worker.supervision.handle import ZygoteHandle

from .conftest import REQUIRED


class _Borrowed(ZygoteHandle):
    """A zygote that is not the node's own: closing the node leaves it as it is."""

    def __init__(self, lender: ZygoteHandle) -> None:
        self.connect = lender.connect
        self.start = lender.start
        self.close = lambda: None


@pytest.fixture
def make_node(desk, shared_zygote, database):
    """Start a node that finds its work by sweeping; settings by name."""
    nodes = []

    def make(**changes):
        values = {"sweep_s": 0.1, "threads_per_item": 1, "worker_concurrency": 1, **changes}
        settings = desk.settings.model_copy(update=values)
        with database.transaction() as session:  # or an idle node would measure the machine's speed
            session.add(Speed(hostname=socket.gethostname(), threads=1, revision=SPEED_REVISION, measured={}))
        node = Node(settings, make_celery(settings), _Borrowed(shared_zygote))
        nodes.append(node)
        node.start()
        return node

    yield make
    for node in nodes:
        node.close()


def _row(database, node):
    with database.reading() as session:
        return session.get(Worker, node.id)


def test_a_node_carries_what_waits_says_that_it_lives_and_takes_its_leave(desk, make_node, database):
    jobs = [desk.job_of(["succeed"], ["be_killed", "succeed"]), desk.job_of(["succeed"])]
    node = make_node()
    until(lambda: all(desk.job(job).state == "succeeded" for job in jobs), "the jobs to succeed")
    row = until(lambda: _row(database, node), "the node's row")
    assert REQUIRED in row.able
    assert row.idle_reason is None
    node.close()
    assert _row(database, node) is None


def test_a_node_takes_only_what_it_is_able_to_do(desk, make_node):
    beyond = desk.job_of(["succeed"], requires="another-device/plain")
    within = desk.job_of(["succeed"])
    make_node()
    until(lambda: desk.job(within).state == "succeeded", "the job that the node can do")
    assert (desk.job(beyond).state, desk.item(beyond).lease_token) == ("queued", 0)


def test_a_node_that_is_stopped_gives_back_what_it_has_and_takes_no_more(desk, make_node):
    job = desk.job_of(["work"], ["succeed"])
    node = make_node()
    desk.runner()
    node.stop()
    until(lambda: desk.item(job).state == "queued", "the item to be given back")
    node.work()
    assert desk.requeued(job) == ["worker_shutdown"]
    assert [desk.item(job, number).lease_token for number in (0, 1)] == [1, 0]
    assert desk.item(job).attempt == 0


def test_a_node_does_as_many_items_at_once_as_it_has_slots(desk, make_node):
    job = desk.job_of(["work"], ["work"], ["work"])
    make_node(worker_concurrency=2)
    until(lambda: len(desk.marks("started")) == 2, "two runners")
    assert desk.item(job, 2).state == "queued"
    desk.enough()
    until(lambda: desk.job(job).state == "succeeded", "the job to succeed")


def test_a_node_goes_on_when_the_full_storage_has_room_again(desk, make_node):
    job = desk.job_of(["find_storage_full"])
    make_node()
    until(lambda: len(desk.requeued(job)) > 1, "the node to try again")
    assert set(desk.requeued(job)) == {"storage_full"}
    assert desk.item(job).attempt == 0


def test_a_node_takes_up_a_claim_whose_answer_was_lost(desk, make_node, database):
    job = desk.job_of(["succeed"])
    lease = desk.claim()
    node = make_node()
    desk.job_of(["succeed"])  # gives it a reason to look
    with database.transaction() as session:
        item = session.get_one(type(desk.item(job)), lease.item_id)
        item.lease_owner = node.id
    until(lambda: desk.job(job).state == "succeeded", "the lost claim to be carried")
    assert desk.item(job).lease_token == lease.token

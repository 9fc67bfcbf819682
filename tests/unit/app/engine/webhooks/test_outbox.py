"""The outbox: what is queued, claimed and settled, on each database."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.db.tables import Webhook, WebhookDelivery
from app.db.types import database_now_s, utc_now
from app.engine.states import JobState, lock, move
from app.engine.webhooks import messages, outbox
from app.engine.webhooks.outbox import DeliveryState, Outcome, Patience

PATIENCE = Patience(retry_s=10.0, give_up_s=86400.0, disable_after_s=432000.0)
TAKEN, BROKEN = Outcome(204, 3.5), Outcome(500, 4.5, "answered 500")


@pytest.fixture
def webhook(database):
    def make(**fields):
        with database.transaction() as session:
            row = Webhook(url="https://example.org/", secret="whsec_AAAA", **fields)
            session.add(row)
            session.flush()
            return row.id

    return make


def deliveries(database):
    with database.reading() as session:
        return session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)).all()


def queue(database, webhook_id, event_type="job.failed"):
    with database.transaction() as session:
        row = outbox.queue(session, session.get(Webhook, webhook_id), event_type, "{}")
        session.flush()
        return row.id


def claim(database, limit=8, lease_s=60.0):
    with database.transaction() as session:
        return outbox.claim(session, limit=limit, lease_s=lease_s)


def settle(database, claimed, outcome, patience=PATIENCE):
    with database.transaction() as session:
        outbox.settle(session, claimed, outcome, patience)


def let_time_pass(database, seconds):
    """As if everything had been queued, and had happened, so much earlier."""
    with database.transaction() as session:
        for name in ("queued_s", "due_s", "lease_expires_s"):
            column = getattr(WebhookDelivery, name)
            session.execute(update(WebhookDelivery).values({name: column - seconds}))
        for row in session.scalars(select(Webhook).where(Webhook.failing_since.is_not(None))):
            row.failing_since -= timedelta(seconds=seconds)


def get(database, table, row_id):
    with database.reading() as session:
        return session.get(table, row_id)


def run_job(database, job_id, *states):
    for state in states:
        with database.transaction() as session:
            move(
                session,
                lock(session, job_id),
                state,
                failure={"code": "timeout"} if state == "failed" else None,
            )


def test_a_transition_is_told_to_those_who_want_it(database, webhook, make_job):
    everything = webhook()
    failures = webhook(events=["job.failed", "job.cancelled"])
    webhook(enabled=False)
    job_id = make_job(("evaluate:direct:0", []))
    run_job(database, job_id, JobState.RUNNING, JobState.FAILED)
    assert [(one.webhook_id, one.type) for one in deliveries(database)] == [
        (everything, "job.running"),
        *sorted([(everything, "job.failed"), (failures, "job.failed")]),
    ]
    body = json.loads(deliveries(database)[-1].payload)
    assert body["type"] == "job.failed"
    assert body["timestamp"].endswith("Z")
    job = body["data"]["job"]
    assert (job["id"], job["state"], job["failure"]) == (job_id, "failed", {"code": "timeout"})
    assert job["finished_at"] >= job["started_at"] >= job["created_at"]


def test_a_transition_that_is_rolled_back_tells_nobody(database, webhook, make_job):
    webhook()
    job_id = make_job(("evaluate:direct:0", []))
    with pytest.raises(RuntimeError), database.transaction() as session:
        move(session, lock(session, job_id), JobState.RUNNING)
        session.flush()
        raise RuntimeError
    assert deliveries(database) == []


def test_a_message_is_sent_once(database, webhook):
    queue(database, webhook())
    (claimed,) = claim(database)
    assert claim(database) == []
    settle(database, claimed, TAKEN)
    assert claim(database) == []
    (row,) = deliveries(database)
    assert row.state == DeliveryState.DELIVERED
    assert row.finished_at is not None
    assert [(one["status_code"], one["latency_ms"], one["error"]) for one in row.attempts] == [
        (204, 3.5, None)
    ]


def test_each_webhook_is_sent_one_message_at_a_time_oldest_first(database, webhook):
    first, second = webhook(), webhook()
    ids = [queue(database, first), queue(database, first), queue(database, second)]
    claims = claim(database)
    assert [one.delivery_id for one in claims] == [ids[0], ids[2]]
    assert claim(database) == []
    settle(database, claims[0], TAKEN)
    assert [one.delivery_id for one in claim(database)] == [ids[1]]


def test_workers_at_once_claim_every_message_once(database, webhook):
    for _ in range(20):
        queue(database, webhook())
    start = threading.Barrier(4)

    def work():
        start.wait(30)
        return [one.delivery_id for _ in range(10) for one in claim(database, limit=3)]

    with ThreadPoolExecutor(4) as pool:
        claimed = [one for future in [pool.submit(work) for _ in range(4)] for one in future.result(60)]
    assert len(claimed) == len(set(claimed))
    claimed += [one.delivery_id for one in claim(database, limit=20)]  # what all had looked at together
    assert sorted(claimed) == sorted(row.id for row in deliveries(database))


def test_a_lost_lease_goes_to_another_worker_and_settles_nothing(database, webhook):
    delivery_id = queue(database, webhook())
    (lost,) = claim(database, lease_s=60)
    let_time_pass(database, 61)
    (taken,) = claim(database)
    assert (taken.delivery_id, taken.token) == (delivery_id, lost.token + 1)
    settle(database, lost, TAKEN)
    assert get(database, WebhookDelivery, delivery_id).state == DeliveryState.SENDING
    settle(database, taken, TAKEN)
    assert len(get(database, WebhookDelivery, delivery_id).attempts) == 1


def test_a_failed_attempt_is_repeated_later_and_later(database, webhook):
    webhook_id = webhook()
    delivery_id = queue(database, webhook_id)
    for attempt in range(1, 5):
        (claimed,) = claim(database)
        settle(database, claimed, BROKEN)
        row = get(database, WebhookDelivery, delivery_id)
        with database.reading() as session:
            waits = row.due_s - session.scalar(select(database_now_s()))
        assert 0.74 * 10 * 2 ** (attempt - 1) < waits < 1.26 * 10 * 2 ** (attempt - 1)
        assert claim(database) == []
        let_time_pass(database, waits + 0.1)
    assert get(database, Webhook, webhook_id).failing_since is not None
    (claimed,) = claim(database)
    settle(database, claimed, TAKEN)
    assert get(database, Webhook, webhook_id).failing_since is None
    assert len(get(database, WebhookDelivery, delivery_id).attempts) == 5


def test_waits_are_spread_and_reproducible():
    waits = [outbox.wait_s(f"delivery {number}", 3, 5.0) for number in range(200)]
    assert waits == [outbox.wait_s(f"delivery {number}", 3, 5.0) for number in range(200)]
    assert len(set(waits)) == 200
    assert 15 <= min(waits) < 16
    assert 24 < max(waits) <= 25
    assert outbox.wait_s("x", 10_000, 5.0) <= 1.25 * 4 * 3600


def test_a_message_is_given_up_after_a_day(database, webhook):
    delivery_id = queue(database, webhook())
    (claimed,) = claim(database)
    let_time_pass(database, 86400)
    settle(database, claimed, BROKEN)
    assert get(database, WebhookDelivery, delivery_id).state == DeliveryState.FAILED
    assert claim(database) == []


def test_a_day_of_failures_is_a_score_of_attempts():
    total, attempts = 0.0, 1
    while (total := total + outbox.wait_s("x", attempts, 5.0)) <= 86400:
        attempts += 1
    assert 12 <= attempts <= 25


def test_a_webhook_that_fails_for_days_is_disabled(database, webhook):
    webhook_id = webhook()
    queue(database, webhook_id)
    (claimed,) = claim(database)
    settle(database, claimed, BROKEN)
    assert get(database, Webhook, webhook_id).enabled
    let_time_pass(database, PATIENCE.disable_after_s + 1)
    queue(database, webhook_id)
    (claimed,) = claim(database)
    settle(database, claimed, BROKEN)
    found = get(database, Webhook, webhook_id)
    assert not found.enabled
    assert "every attempt has failed since" in found.disabled_reason


def test_a_receiver_that_is_gone_is_disabled_at_once(database, webhook):
    webhook_id = webhook()
    queue(database, webhook_id)
    (claimed,) = claim(database)
    settle(database, claimed, Outcome(410, 1.0, "answered 410"))
    assert "410" in get(database, Webhook, webhook_id).disabled_reason


def test_messages_of_a_disabled_webhook_wait_until_it_is_enabled(database, webhook):
    webhook_id = webhook()
    queue(database, webhook_id)
    with database.transaction() as session:
        session.get(Webhook, webhook_id).enabled = False
    assert claim(database) == []
    with database.transaction() as session:
        session.get(Webhook, webhook_id).enabled = True
    assert len(claim(database)) == 1


def test_a_test_is_not_tried_again_and_disables_nothing(database, webhook):
    webhook_id = webhook()
    delivery_id = queue(database, webhook_id, messages.TEST)
    (claimed,) = claim(database)
    settle(database, claimed, Outcome(410, 1.0, "answered 410"))
    assert get(database, WebhookDelivery, delivery_id).state == DeliveryState.FAILED
    found = get(database, Webhook, webhook_id)
    assert (found.enabled, found.failing_since) == (True, None)


def test_a_webhook_deleted_while_a_message_is_sent_is_no_trouble(database, webhook):
    webhook_id = webhook()
    queue(database, webhook_id)
    (claimed,) = claim(database)
    with database.transaction() as session:
        session.delete(session.get(Webhook, webhook_id))
    settle(database, claimed, TAKEN)
    assert deliveries(database) == []


def test_what_waited_too_long_is_given_up_and_what_is_old_forgotten(database, webhook):
    webhook_id = webhook(enabled=False)
    waiting, done, fresh = (queue(database, webhook_id) for _ in range(3))
    with database.transaction() as session:
        session.get(WebhookDelivery, waiting).queued_s -= PATIENCE.give_up_s + 400
        row = session.get(WebhookDelivery, done)
        row.state, row.finished_at = DeliveryState.DELIVERED, utc_now() - timedelta(days=31)
    with database.transaction() as session:
        outbox.tidy(session, PATIENCE)
    assert {row.id: row.state for row in deliveries(database)} == {
        waiting: DeliveryState.FAILED,
        fresh: DeliveryState.PENDING,
    }

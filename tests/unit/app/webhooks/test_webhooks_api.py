"""Webhooks over HTTP, on each database."""

from datetime import timedelta

import pytest

from app.db.tables import Webhook, WebhookDelivery
from app.db.types import utc_now
from app.engine.states import JobState
from app.engine.webhooks.messages import EventType
from app.settings import Settings
from app.webhooks.service import MAX_WEBHOOKS

PATH = "/v1/webhooks"
URL = "https://example.org/hook?x=1"


@pytest.fixture
def client(database_url, tmp_path, make_client):
    with make_client(Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)) as client:
        yield client


def create(client, **body):
    return client.post(PATH, json={"url": URL, **body})


def faults(answer):
    assert answer.status_code == 422, answer.text
    return {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]}


def test_every_state_after_queued_can_be_told():
    assert set(EventType) == {f"job.{state}" for state in JobState if state != "queued"}


def test_a_webhook_is_made_found_listed_and_deleted(client):
    created = create(client, events=["job.succeeded", "job.failed"], description="mine")
    assert created.status_code == 201
    body = created.json()
    assert body.pop("secret").startswith("whsec_")
    assert body["enabled"] is True
    assert body["events"] == ["job.succeeded", "job.failed"]
    found = client.get(created.headers["location"])
    assert found.json() == body
    assert client.get(PATH).json()["items"] == [body]
    assert "whsec_" not in client.get(PATH).text + found.text
    assert client.delete(created.headers["location"]).status_code == 204
    for answer in (
        client.get(created.headers["location"]),
        client.delete(created.headers["location"]),
        client.patch(created.headers["location"], json={}),
        client.get(f"{created.headers['location']}/deliveries"),
        client.post(f"{created.headers['location']}/test"),
    ):
        assert answer.status_code == 404


def test_what_a_client_holds_is_not_sent_again(client):
    location = create(client).headers["location"]
    etag = client.get(location).headers["etag"]
    assert client.get(location, headers={"If-None-Match": etag}).status_code == 304
    assert client.patch(location, json={"enabled": False}).headers["etag"] != etag
    assert client.get(location, headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/hook",
        "ftp://example.org",
        "https://",
        "https:///path",
        "https://user:pw@example.org",
        "https://example.org/#part",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://example.org/a b",
        "https://exämple.org/",
        "https://[::1",
        "https://example.org/" + "x" * 2000,
        None,
        3,
    ],
)
def test_what_is_no_url_for_a_webhook_is_a_fault(client, url):
    assert set(faults(client.post(PATH, json={"url": url}))) == {"/url"}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/",
        "https://localhost/",
        "http://[::1]/",
        "http://169.254.169.254/latest",
        "http://10.1.2.3",
    ],
)
def test_private_addresses_are_refused(client, url):
    assert faults(client.post(PATH, json={"url": url})) == {"/url": "private_address"}
    location = create(client).headers["location"]
    assert faults(client.patch(location, json={"url": url})) == {"/url": "private_address"}


def test_private_addresses_are_taken_where_the_setting_allows_them(database_url, tmp_path, make_client):
    settings = Settings(
        data_dir=tmp_path, database_url=database_url, redis_url=None, webhook_allow_private=True
    )
    with make_client(settings) as client:
        assert create(client, url="http://127.0.0.1:8000/").status_code == 201


def test_all_faults_are_told_at_once(client):
    answer = create(client, url="x", events=["job.done"], secret="mine", description="x" * 3000)
    assert set(faults(answer)) == {"/url", "/events/0", "/secret", "/description"}
    assert set(faults(create(client, events=[]))) == {"/events"}


def test_a_change_touches_what_it_sets(client):
    created = create(client, events=["job.failed"], description="mine")
    location = created.headers["location"]
    before = client.get(location).json()
    after = client.patch(location, json={"url": "https://example.net/"}).json()
    assert after == {**before, "url": "https://example.net/"}
    after = client.patch(location, json={"events": None, "description": None, "enabled": False}).json()
    assert (after["events"], after["description"], after["enabled"]) == (None, None, False)
    assert client.patch(location, json={"url": None, "enabled": None}).json() == after
    assert client.get(location).json() == after


def test_enabling_forgets_why_it_was_disabled(client, database):
    location = create(client).headers["location"]
    with database.transaction() as session:
        webhook = session.get(Webhook, location.rpartition("/")[2])
        webhook.enabled, webhook.disabled_reason = False, "the receiver answered 410 Gone"
    assert client.get(location).json()["disabled_reason"] == "the receiver answered 410 Gone"
    after = client.patch(location, json={"enabled": True}).json()
    assert (after["enabled"], after["disabled_reason"], after["failing_since"]) == (True, None, None)


def test_a_test_is_queued_and_in_the_log(client):
    location = create(client, events=["job.failed"]).headers["location"]
    queued = client.post(f"{location}/test")
    assert queued.status_code == 202
    delivery = queued.json()
    assert (delivery["type"], delivery["state"], delivery["attempts"]) == ("webhook.test", "pending", [])
    assert delivery["payload"]["type"] == "webhook.test"
    assert delivery["payload"]["data"]["webhook"]["url"] == URL
    assert client.get(f"{location}/deliveries").json()["items"] == [delivery]


def test_a_disabled_webhook_is_not_tested(client):
    location = create(client).headers["location"]
    client.patch(location, json={"enabled": False})
    answer = client.post(f"{location}/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")


def test_the_log_comes_in_pages_newest_first(client):
    location = create(client).headers["location"]
    ids = [client.post(f"{location}/test").json()["id"] for _ in range(5)]
    first = client.get(f"{location}/deliveries", params={"limit": 3})
    second = client.get(first.links["next"]["url"])
    assert [one["id"] for page in (first, second) for one in page.json()["items"]] == ids[::-1]


def test_deleting_a_webhook_deletes_its_log(client, database):
    location = create(client).headers["location"]
    delivery = client.post(f"{location}/test").json()["id"]
    assert client.delete(location).status_code == 204
    with database.reading() as session:
        assert session.get(WebhookDelivery, delivery) is None


def test_there_is_a_limit_to_webhooks(client, database):
    with database.transaction() as session:
        for _ in range(MAX_WEBHOOKS - 1):
            session.add(Webhook(url=URL, secret="whsec_AAAA"))
    assert create(client).status_code == 201
    answer = create(client)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")


def test_a_repeated_request_makes_one_webhook(client):
    answers = [client.post(PATH, json={"url": URL}, headers={"Idempotency-Key": "k"}) for _ in "ab"]
    assert answers[0].content == answers[1].content
    assert len(client.get(PATH).json()["items"]) == 1


def test_a_new_secret_is_shown_once_and_the_old_one_is_kept_for_a_day(client, database):
    created = create(client).json()
    rotated = client.post(f"{PATH}/{created['id']}/rotate")
    assert rotated.status_code == 200
    assert rotated.json()["secret"] not in (created["secret"], None)
    assert "whsec_" not in client.get(f"{PATH}/{created['id']}").text
    with database.reading() as session:
        row = session.get(Webhook, created["id"])
    assert (row.secret, row.old_secret) == (rotated.json()["secret"], created["secret"])
    assert timedelta(hours=23) < row.old_secret_until - utc_now() < timedelta(hours=25)


def test_a_message_that_was_given_up_is_sent_again_under_its_id(client, database):
    created = create(client).json()
    sent = client.post(f"{PATH}/{created['id']}/test").json()
    again = f"{PATH}/{created['id']}/deliveries/{sent['id']}/redeliver"
    assert client.post(again).json()["code"] == "delivery_pending"
    with database.transaction() as session:
        row = session.get(WebhookDelivery, sent["id"])
        row.state, row.finished_at = "failed", utc_now()
        row.attempts = [{"at": "2026-01-01T00:00:00Z", "status_code": 500, "latency_ms": 1.0, "error": "x"}]
    answer = client.post(again)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["id"], body["state"], len(body["attempts"])) == (sent["id"], "pending", 1)
    client.patch(f"{PATH}/{created['id']}", json={"enabled": False})
    assert client.post(again).json()["code"] == "webhook_disabled"


def test_a_message_of_another_webhook_is_not_sent_again(client):
    one, other = create(client).json(), create(client).json()
    sent = client.post(f"{PATH}/{one['id']}/test").json()
    assert client.post(f"{PATH}/{other['id']}/deliveries/{sent['id']}/redeliver").status_code == 404

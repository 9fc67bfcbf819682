"""The sender of webhooks against a real receiver on this machine."""

import base64
import hashlib
import hmac
import json
import shutil
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.db.tables import Webhook, WebhookDelivery
from app.db.types import utc_now
from app.engine.webhooks import outbox
from app.engine.webhooks.signing import new_secret
from app.settings import Settings
from tests.receiver import Receiver
from worker.webhook_sender import WebhookSender

DEADLINE_S = 30
EACH_DATABASE = pytest.mark.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def database_url(request):
    """SQLite, where a test does not ask for others too."""
    return request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url")


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def make_sender(database, tmp_path):
    def make(*, tls=None, **changes):
        values = {"webhook_allow_private": True, "webhook_timeout_s": 5.0, "webhook_retry_s": 0.05, **changes}
        return WebhookSender(Settings(data_dir=tmp_path, redis_url=None, **values), database, tls=tls)

    return make


@pytest.fixture
def webhook(database):
    def make(url):
        with database.transaction() as session:
            row = Webhook(url=url, secret=new_secret())
            session.add(row)
            session.flush()
            return row

    return make


@pytest.fixture
def queue(database):
    def add(webhook, body='{"a":"ä"}'):
        with database.transaction() as session:
            row = outbox.queue(session, session.get(Webhook, webhook.id), "job.failed", body)
            session.flush()
            return row.id

    return add


@pytest.fixture
def delivery(database):
    def get(delivery_id):
        with database.reading() as session:
            return session.get(WebhookDelivery, delivery_id)

    return get


def until(condition):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("the deadline has passed")


@EACH_DATABASE
def test_a_message_arrives_signed(make_sender, webhook, queue, delivery, receiver):
    hook = webhook(f"http://127.0.0.1:{receiver.port}/hook?x=1")
    delivery_id = queue(hook)
    assert make_sender().send_due() == 1
    ((path, headers, body),) = receiver.requests
    assert path == "/hook?x=1"
    assert body == '{"a":"ä"}'.encode()
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == delivery_id
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    key = base64.b64decode(hook.secret.removeprefix("whsec_"))
    signed = f"{delivery_id}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    row = delivery(delivery_id)
    assert row.state == "delivered"
    assert row.attempts[0]["status_code"] == 204
    assert row.attempts[0]["latency_ms"] > 0


def test_a_failed_message_comes_again_with_the_same_id_and_body(
    make_sender, webhook, queue, delivery, receiver
):
    delivery_id = queue(webhook(f"http://127.0.0.1:{receiver.port}/"))
    sender = make_sender()
    receiver.status = 503
    assert sender.send_due() == 1
    assert delivery(delivery_id).state == "pending"
    receiver.status = 200
    until(sender.send_due)
    (first, second) = receiver.requests
    assert (first[1]["webhook-id"], first[2]) == (second[1]["webhook-id"], second[2])
    row = delivery(delivery_id)
    assert row.state == "delivered"
    assert [(one["status_code"], one["error"]) for one in row.attempts] == [
        (503, "answered 503"),
        (200, None),
    ]


def test_redirects_are_not_followed(make_sender, webhook, queue, delivery, receiver):
    receiver.status, receiver.headers = 302, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    delivery_id = queue(webhook(f"http://127.0.0.1:{receiver.port}/"))
    make_sender().send_due()
    assert [path for path, _, _ in receiver.requests] == ["/"]
    assert "redirects are not followed" in delivery(delivery_id).attempts[0]["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1"])
def test_no_name_leads_to_a_private_address(make_sender, webhook, queue, *, delivery, receiver, host):
    delivery_id = queue(webhook(f"http://{host}:{receiver.port}/"))
    make_sender(webhook_allow_private=False).send_due()
    assert receiver.requests == []
    (attempt,) = delivery(delivery_id).attempts
    assert attempt["status_code"] is None
    assert "private" in attempt["error"]


def test_proxies_of_the_environment_are_not_used(
    make_sender, webhook, queue, *, delivery, receiver, monkeypatch
):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    delivery_id = queue(webhook(f"http://127.0.0.1:{receiver.port}/"))
    make_sender().send_due()
    assert delivery(delivery_id).state == "delivered"


def test_a_receiver_that_never_finishes_its_answer_is_given_up(
    make_sender, webhook, queue, delivery, receiver
):
    receiver.silent.set()
    delivery_id = queue(webhook(f"http://127.0.0.1:{receiver.port}/"))
    begun = time.monotonic()
    make_sender(webhook_timeout_s=0.5).send_due()
    assert time.monotonic() - begun < 10
    assert delivery(delivery_id).attempts[0]["error"] == "no answer within 0.5 s"


def test_nobody_listening_is_a_failed_attempt(make_sender, webhook, queue, delivery):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    delivery_id = queue(webhook(f"http://127.0.0.1:{port}/"))
    make_sender().send_due()
    row = delivery(delivery_id)
    assert (row.state, row.attempts[0]["status_code"]) == ("pending", None)
    assert row.attempts[0]["error"]


def test_a_name_that_does_not_exist_is_a_failed_attempt(make_sender, webhook, queue, delivery):
    delivery_id = queue(webhook("http://nothing.invalid/"))
    make_sender().send_due()
    assert delivery(delivery_id).attempts[0]["error"]


@EACH_DATABASE
def test_several_workers_send_every_message_once(make_sender, webhook, queue, receiver, database):
    hooks = [webhook(f"http://127.0.0.1:{receiver.port}/{number}") for number in range(5)]
    ids = {queue(hook, json.dumps({"number": number})) for hook in hooks for number in range(4)}
    senders = [make_sender() for _ in range(3)]

    def work(sender):
        while len(receiver.requests) < len(ids):
            sender.send_due()

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(work, sender) for sender in senders]:
            future.result(DEADLINE_S)
    assert sorted(headers["webhook-id"] for _, headers, _ in receiver.requests) == sorted(ids)
    with database.reading() as session:
        assert set(session.scalars(select(WebhookDelivery.state))) == {"delivered"}
    for path in {path for path, _, _ in receiver.requests}:
        numbers = [json.loads(body)["number"] for found, _, body in receiver.requests if found == path]
        assert numbers == [0, 1, 2, 3]


@EACH_DATABASE
def test_a_started_sender_sends_by_itself_until_it_is_closed(make_sender, webhook, queue, receiver):
    hook = webhook(f"http://127.0.0.1:{receiver.port}/")
    sender = make_sender()
    sender.start()
    try:
        for _ in range(3):
            queue(hook)
        until(lambda: len(receiver.requests) == 3)
    finally:
        sender.close()
    queue(hook)
    assert len(receiver.requests) == 3


def test_a_slow_receiver_does_not_hold_up_the_others(make_sender, webhook, queue, receiver):
    slow = Receiver()
    slow.silent.set()
    sender = make_sender(webhook_timeout_s=20.0)
    try:
        slow_hook = webhook(f"http://127.0.0.1:{slow.port}/")
        hook = webhook(f"http://127.0.0.1:{receiver.port}/")
        queue(slow_hook)
        sender.start()
        until(lambda: slow.requests)
        queue(hook)
        until(lambda: receiver.requests)
        assert len(slow.requests) == 1
    finally:
        slow.close()
        sender.close()


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    key, path = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", str(key)]
    command += ["-out", str(path), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path, key)
    return server, path


def test_certificates_are_checked_for_the_name_and_not_the_address(
    make_sender, webhook, queue, delivery, certificate
):
    server, path = certificate
    receiver = Receiver(tls=server)
    trusting = make_sender(tls=ssl.create_default_context(cafile=path))
    try:
        good = queue(webhook(f"https://localhost:{receiver.port}/"))
        trusting.send_due()
        other_name = queue(webhook(f"https://127.0.0.1:{receiver.port}/"))
        trusting.send_due()
        untrusted = queue(webhook(f"https://localhost:{receiver.port}/"))
        make_sender().send_due()
    finally:
        receiver.close()
    assert delivery(good).state == "delivered"
    assert receiver.requests[0][1]["host"] == f"localhost:{receiver.port}"
    for delivery_id in (other_name, untrusted):
        assert delivery(delivery_id).state == "pending"
        assert "certificate" in delivery(delivery_id).attempts[0]["error"].lower()
    assert len(receiver.requests) == 1


def test_after_a_rotation_both_secrets_sign_until_the_old_ones_day_is_over(
    make_sender, webhook, queue, receiver, database
):
    hook = webhook(f"http://127.0.0.1:{receiver.port}/")
    old = hook.secret

    def signers():
        receiver.requests.clear()
        queue(hook)
        assert make_sender().send_due() == 1
        ((_, headers, body),) = receiver.requests
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        found = []
        for one in headers["webhook-signature"].split():
            for secret in (old, "whsec_" + base64.b64encode(b"new" * 8).decode()):
                key = base64.b64decode(secret.removeprefix("whsec_"))
                expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
                found += [secret == old] if one == f"v1,{expected}" else []
        return found

    def rotate(until):
        with database.transaction() as session:
            row = session.get(Webhook, hook.id)
            row.secret = "whsec_" + base64.b64encode(b"new" * 8).decode()
            row.old_secret, row.old_secret_until = old, until

    assert signers() == [True]
    rotate(utc_now() + timedelta(hours=1))
    assert signers() == [False, True]
    rotate(utc_now() - timedelta(seconds=1))
    assert signers() == [False]

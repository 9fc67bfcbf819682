"""Secrets of webhooks are encrypted at rest, with keys that change, on each database."""

from __future__ import annotations

import logging
from contextlib import closing

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.db.sealing import SealedError, Sealer, is_sealed, new_key
from app.doctor.checks import examine
from app.engine.webhooks.secrets import seal_secrets
from app.secrets.__main__ import main
from app.settings import Settings
from app.start import faults_of
from tests.receiver import Receiver
from tests.unit.app.keys.conftest import new_key as new_access_key
from worker.webhook_sender import WebhookSender

FIRST, SECOND = new_key(), new_key()
HOOK = {"url": "https://example.org/hook"}


@pytest.fixture
def settings_with(database_url, tmp_path):
    def make(*keys: str) -> Settings:
        given = SecretStr(",".join(keys)) if keys else None
        return Settings(
            data_dir=tmp_path, database_url=database_url, redis_url=None, port=1, encryption_keys=given,
            webhook_allow_private=True,
        )  # fmt: skip

    return make


@pytest.fixture
def command(monkeypatch, database_url, tmp_path):
    """Run `driftline secrets` with some keys."""

    def run(*keys: str) -> int:
        monkeypatch.setenv("DATABASE_URL", database_url)
        monkeypatch.setenv("DRIFTLINE_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("DRIFTLINE_ENCRYPTION_KEYS", ",".join(keys))
        return main([])

    return run


def stored(database) -> str:
    """Return all that the database has of webhooks and of kept answers."""
    with database.reading() as session:
        rows = [*session.execute(text("SELECT secret, old_secret FROM webhooks"))]
        rows += session.execute(text("SELECT body FROM idempotency_keys"))
    return repr(rows)


def doctor(settings) -> str:
    return " | ".join(f"{one.verdict} {one.found}" for one in examine(settings) if one.what == "secrets")


def test_a_sealed_text_is_opened_by_its_key_alone():
    sealed = Sealer([FIRST]).seal("whsec_x")
    assert is_sealed(sealed)
    assert "whsec_x" not in sealed
    assert Sealer([SECOND, FIRST]).open(sealed) == "whsec_x"
    assert not Sealer([SECOND, FIRST]).is_newest(sealed)
    assert Sealer([]).open("whsec_x") == Sealer([FIRST]).open("whsec_x") == "whsec_x"
    with pytest.raises(SealedError, match="none of the keys"):
        Sealer([SECOND]).open(sealed)
    with pytest.raises(SealedError, match="is not set"):
        Sealer([]).open(sealed)


@pytest.mark.parametrize("keys", ["short", "A" * 43 + "=,x", "é" * 44])
def test_what_is_no_key_is_a_fault_of_the_settings_that_does_not_print_it(keys):
    [fault] = faults_of(Settings(encryption_keys=SecretStr(keys)))
    assert "DRIFTLINE_ENCRYPTION_KEYS: a key has 32 bytes" in fault
    assert keys not in fault


def test_the_database_never_sees_a_secret(settings_with, make_client, database):
    with make_client(settings_with(FIRST)) as client:
        made = client.post("/v1/webhooks", json=HOOK, headers={"Idempotency-Key": "once"})
        again = client.post("/v1/webhooks", json=HOOK, headers={"Idempotency-Key": "once"})
        assert again.json() == made.json()
        assert again.headers["idempotency-replayed"] == "true"
        rotated = client.post(f"{made.headers['location']}/rotate").json()["secret"]
    assert rotated.startswith("whsec_")
    assert rotated != made.json()["secret"]
    assert "sealed:v1:" in stored(database)
    assert "whsec_" not in stored(database)


def test_an_answer_that_cannot_be_read_is_gone_and_no_failure(settings_with, make_client):
    with make_client(settings_with(FIRST)) as client:
        client.post("/v1/webhooks", json=HOOK, headers={"Idempotency-Key": "once"})
    with make_client(settings_with(SECOND)) as client:
        answer = client.post("/v1/webhooks", json=HOOK, headers={"Idempotency-Key": "once"})
    assert (answer.status_code, answer.json()["code"]) == (410, "idempotent_answer_unreadable")


def test_old_rows_go_on_and_a_rotation_seals_both_secrets(settings_with, make_client, database):
    with make_client(settings_with()) as client:
        location = client.post("/v1/webhooks", json=HOOK).headers["location"]
    assert "whsec_" in stored(database)
    with make_client(settings_with(FIRST)) as client:
        assert client.post(f"{location}/rotate").status_code == 200
    assert "whsec_" not in stored(database)


@pytest.mark.parametrize("keys", [[SECOND], []])
def test_without_the_key_a_delivery_fails_and_says_why_and_a_rotation_mends_it(
    settings_with, make_client, database, keys
):
    with closing(Receiver()) as receiver:
        with make_client(settings_with(FIRST)) as client:
            hook = {"url": f"http://127.0.0.1:{receiver.port}/"}
            location = client.post("/v1/webhooks", json=hook).headers["location"]
        wrong = settings_with(*keys)
        with make_client(wrong) as client:
            client.post(f"{location}/test")
            WebhookSender(wrong, database).send_due()
            [delivery] = client.get(f"{location}/deliveries").json()["items"]
            assert delivery["state"] == "failed"
            assert "the webhook's secret cannot be read" in delivery["attempts"][0]["error"]
            assert "DRIFTLINE_ENCRYPTION_KEYS" in delivery["attempts"][0]["error"]
            assert client.post(f"{location}/rotate").status_code == 200
            client.post(f"{location}/test")
            WebhookSender(wrong, database).send_due()
            assert client.get(f"{location}/deliveries").json()["items"][0]["state"] == "delivered"
        assert len(receiver.requests) == 1


def test_the_command_seals_anew_and_the_old_key_may_go(settings_with, make_client, database, command, capsys):
    with make_client(settings_with()) as client:
        location = client.post("/v1/webhooks", json=HOOK).headers["location"]
        client.post(f"{location}/rotate")
    assert command(FIRST) == 0
    assert "2 secrets of webhooks were encrypted" in capsys.readouterr().out
    assert "whsec_" not in stored(database)
    assert command(SECOND, FIRST) == 0
    assert "2 secrets" in capsys.readouterr().out
    assert command(SECOND) == 0
    assert "0 secrets" in capsys.readouterr().out
    assert command(FIRST) == 2
    assert "2 are encrypted with a key that" in capsys.readouterr().err
    assert command() == 2
    assert "is not set" in capsys.readouterr().err


def test_doctor_and_log_say_whether_secrets_are_encrypted(settings_with, make_client, database, caplog):
    with make_client(settings_with()) as client:
        client.post("/v1/webhooks", json=HOOK)
    assert doctor(settings_with()) == ""
    new_access_key(database, "admin")
    assert doctor(settings_with()).startswith("warning whoever reads the database")
    with caplog.at_level(logging.WARNING), make_client(settings_with()) as client:
        client.get("/healthz/ready")
        client.get("/v1/jobs")
    assert [line for line in caplog.messages if "set DRIFTLINE_ENCRYPTION_KEYS" in line]
    assert doctor(settings_with(FIRST)).startswith("warning of webhooks' secrets 1 are not encrypted")
    with database.transaction() as session:
        assert seal_secrets(session, settings_with(FIRST).sealer) == 1
    assert doctor(settings_with(FIRST)) == "ok those of webhooks are encrypted"
    assert doctor(settings_with(SECOND)).startswith("fault 1 secrets of webhooks")


def test_a_new_key_is_printed(capsys):
    assert main(["--new-key"]) == 0
    assert Sealer([capsys.readouterr().out.strip()]).has_keys

"""A service that others would reach does not start without a key, and says what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app.db.session import Database
from tests.unit.app.keys.conftest import bearer, new_key
from tests.waiting import until

ADMIN = "a-key-of-at-least-thirty-two-characters"


@contextmanager
def api(settings, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the API on all addresses, as a container does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "--host", "0.0.0.0",
         "--port", str(port), "--log-level", "warning"],
        env={**os.environ, **settings.to_environment(), **environment}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz/live").is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    "changes", [{"DRIFTLINE_HOST": "0.0.0.0"}, {"DRIFTLINE_ALLOWED_HOSTS": "lab.example"}]
)
def test_without_a_key_it_does_not_start_where_others_reach_it(settings, changes):
    with api(settings, **changes) as (process, _):
        _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "driftline keys --local add" in told
    assert "DRIFTLINE_ADMIN_KEY" in told
    assert "Traceback" not in told


def test_with_a_key_it_starts_and_wants_it(settings):
    database = Database(settings.resolved_database_url)
    key = new_key(database)
    database.dispose()
    with api(settings, DRIFTLINE_HOST="0.0.0.0") as (_, url):
        until(lambda: ready(url), "the API to listen")
        assert httpx.get(f"{url}/v1/jobs").status_code == 401
        assert httpx.get(f"{url}/v1/jobs", headers=bearer(key)).status_code == 200
        any_name = {**bearer(key), "Host": "any.example"}
        assert httpx.get(f"{url}/v1/jobs", headers=any_name).status_code == 200


def test_with_a_key_in_the_settings_it_starts(settings):
    with api(settings, DRIFTLINE_HOST="0.0.0.0", DRIFTLINE_ADMIN_KEY=ADMIN) as (_, url):
        until(lambda: ready(url), "the API to listen")
        assert httpx.get(f"{url}/v1/jobs").status_code == 401
        made = httpx.post(
            f"{url}/v1/keys", json={"name": "k", "project": "lab", "scopes": ["read"]}, headers=bearer(ADMIN)
        )
        assert made.status_code == 201


def test_where_the_settings_do_not_say_that_it_listens_elsewhere_nobody_gets_in_from_there(settings):
    """`python -m app --host 0.0.0.0` without DRIFTLINE_HOST: this machine alone is let in without a key."""
    own = socket.gethostbyname(socket.gethostname())
    with api(settings) as (_, url):
        until(lambda: ready(url), "the API to listen")
        assert httpx.get(f"{url}/v1/jobs").status_code == 200
        if own.startswith("127."):
            pytest.skip("this machine has no address but loopback's")
        assert httpx.get(url.replace("127.0.0.1", own) + "/v1/jobs").status_code == 401

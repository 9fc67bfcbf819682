"""Behind a proxy that puts a path before the service, and used by pages of another site: every address holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.conftest import Server, running
from tests.unit.app.keys.conftest import bearer, new_key

ROOT = "/driftline"
LAB = "https://lab.example.org"
EVIL = "https://evil.example"
PAGE = {"Accept": "text/html"}


@pytest.fixture
def server(settings) -> Iterator[Server]:
    allowed = settings.model_copy(update={"allowed_origins": LAB})
    with running(allowed, root_path=ROOT) as server:
        yield server


@pytest.fixture
def key(server) -> dict[str, str]:
    return bearer(new_key(server.services.database.all_projects, "admin", "read", "submit"))


def through_proxy(server: Server, address: str) -> str:
    """Return what the proxy asks for when a client asks it for an address on the site."""
    path = httpx.URL(f"http://proxy{ROOT}/").join(address).raw_path.decode()
    assert path.startswith(f"{ROOT}/"), address
    return server.url + path.removeprefix(ROOT)


def test_locations_and_links_lead_back_through_the_proxy(server, key):
    made = [
        httpx.post(f"{server.url}/v1/rpu-configs", json={"name": name, "config": {}}, headers=key)
        for name in ("a", "b")
    ]
    for answer in made:
        found = httpx.get(through_proxy(server, answer.headers["location"]), headers=key)
        assert found.json()["id"] == answer.json()["id"]
    first = httpx.get(f"{server.url}/v1/rpu-configs", params={"limit": 1}, headers=key)
    second = httpx.get(through_proxy(server, first.links["next"]["url"]), headers=key)
    assert second.json()["items"][0]["name"] == "a"


def test_a_kept_answer_has_its_location_once(server, key):
    once = {**key, "Idempotency-Key": "once"}
    body = {"url": "https://example.org/hook"}
    answers = [httpx.post(f"{server.url}/v1/webhooks", json=body, headers=once) for _ in range(2)]
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert len({one.headers["location"] for one in answers}) == 1
    assert answers[0].headers["location"].startswith(f"{ROOT}/v1/webhooks/")


def test_signing_in_and_out_stays_under_the_prefix(server, key):
    asked = httpx.get(f"{server.url}/jobs/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10", headers=PAGE)
    assert asked.headers["location"].startswith("../sign-in?next=jobs%2F")
    given = {"key": key["Authorization"].removeprefix("Bearer "), "next": "models"}
    entered = httpx.post(f"{server.url}/sign-in", data=given)
    assert (entered.status_code, entered.headers["location"]) == (303, "./models")
    assert f"Path={ROOT};" in entered.headers["set-cookie"]
    cookie = {"Cookie": entered.headers["set-cookie"].partition(";")[0], "Origin": server.url}
    page = httpx.get(f"{server.url}/models", headers={**PAGE, **cookie})
    for address in re.findall(r'(?:href|src|action)="(?!#)([^"]+)"', page.text):
        answer = httpx.get(through_proxy(server, address), headers={**PAGE, **cookie})
        assert answer.status_code in (200, 405), address  # a form's address takes no GET
    gone = httpx.post(f"{server.url}/sign-out", headers=cookie)
    assert (gone.status_code, gone.headers["location"]) == (303, "./sign-in")
    assert f"Path={ROOT};" in gone.headers["set-cookie"]


def test_the_document_names_the_prefix(server):
    assert httpx.get(f"{server.url}/openapi.json", timeout=60).json()["servers"] == [{"url": ROOT}]


def test_a_page_of_an_allowed_site_uses_the_service_with_a_key(server, key):
    asks = {
        "Origin": LAB,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    before = httpx.options(f"{server.url}/v1/jobs", headers=asks)
    assert before.status_code == 200
    assert before.headers["access-control-allow-origin"] == LAB
    assert "access-control-allow-credentials" not in before.headers
    sent = {"Origin": LAB, "Sec-Fetch-Site": "cross-site"}
    made = httpx.post(
        f"{server.url}/v1/rpu-configs", json={"name": "a", "config": {}}, headers={**key, **sent}
    )
    assert (made.status_code, made.headers["access-control-allow-origin"]) == (201, LAB)
    exposed = made.headers["access-control-expose-headers"]
    assert {"Location", "Link", "Retry-After", "X-Request-Id"} <= set(exposed.split(", "))
    refused = httpx.get(f"{server.url}/v1/jobs", headers=sent)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, LAB)


def test_a_page_of_another_site_does_not(server, key):
    asks = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    before = httpx.options(f"{server.url}/v1/jobs", headers=asks)
    assert before.status_code == 400
    sent = {"Origin": EVIL, "Sec-Fetch-Site": "cross-site", **key}
    for answer in (before, httpx.get(f"{server.url}/v1/jobs", headers=sent)):
        assert "access-control-allow-origin" not in answer.headers
    changed = httpx.post(f"{server.url}/v1/rpu-configs", json={"name": "a", "config": {}}, headers=sent)
    assert (changed.status_code, changed.json()["code"]) == (403, "cross_site")
    assert "access-control-allow-origin" not in changed.headers

"""Other sites: names that point here, forms that post here, pages that would read; headers of every answer."""

from __future__ import annotations

import pytest

from app.kit.security import is_loopback, is_published
from app.settings import Settings
from tests.unit.app.conftest import LOCAL, TestClient, create_app
from tests.unit.app.keys.conftest import bearer

HOOK = {"url": "https://example.org/"}
ADMIN = "a-key-of-at-least-thirty-two-characters"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "a.localhost", "LOCALHOST"],
)
def test_the_names_of_loopback_are_known(client, host):
    assert client.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "[",
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/jobs", "/healthz/live", "/nothing"])
def test_another_name_on_loopback_is_misdirected(client, host, path):
    answer = client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")


@pytest.mark.parametrize(
    ("hosts", "host", "status"),
    [
        ("lab.example.org", "lab.example.org", 401),
        ("lab.example.org", "localhost", 401),
        ("lab.example.org", "other.example.org", 421),
        (".example.org,second", "other.example.org:80", 401),
        (".example.org,second", "second", 401),
        (".example.org", "evilexample.org", 421),
        ("*", "anything", 401),
    ],
)
def test_the_settings_name_further_hosts(settings, make_client, hosts, host, status):
    changed = Settings(**{**settings.model_dump(), "allowed_hosts": hosts, "admin_key": ADMIN})
    with make_client(changed) as client:
        assert client.get("/v1/jobs", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},  # another service on this machine
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:9999"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/webhooks"), ("DELETE", "/v1/jobs/x"), ("POST", "/sign-in")]
)
def test_a_change_that_another_site_sends_is_refused(client, headers, method, path):
    answer = client.request(method, path, json=HOOK, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert client.get("/v1/webhooks").json()["items"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, the client, notebooks
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_a_change_from_our_pages_or_from_no_page_is_done(client, headers):
    assert client.post("/v1/webhooks", json=HOOK, headers=headers).status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_can_send_is_no_json(client, kind):
    body = b'{"url": "https://example.org/"}'
    assert client.post("/v1/webhooks", content=body, headers={"Content-Type": kind}).status_code == 415


def test_a_link_from_another_site_opens_a_page(client):
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_an_allowed_site_uses_the_service_with_a_key_and_others_do_not(settings, make_client):
    site = "https://lab.example.org"
    changed = Settings(**{**settings.model_dump(), "allowed_origins": site, "admin_key": ADMIN})
    with make_client(changed) as client:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        preflight = client.options("/v1/webhooks", headers={"Origin": site, **asked})
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == site
        assert "access-control-allow-credentials" not in preflight.headers
        sent = client.post("/v1/webhooks", json=HOOK, headers={"Origin": site, **bearer(ADMIN)})
        assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (201, site)
        other = {"Origin": "https://evil.example"}
        assert (
            "access-control-allow-origin"
            not in client.options("/v1/webhooks", headers={**other, **asked}).headers
        )
        assert client.post("/v1/webhooks", json=HOOK, headers={**other, **bearer(ADMIN)}).status_code == 403


def test_a_page_that_a_browser_holds_keeps_the_policy_that_it_came_with(client):
    page = client.get("/", headers={"Accept": "text/html"})
    again = client.get(str(page.url), headers={"Accept": "text/html", "If-None-Match": page.headers["etag"]})
    assert again.status_code == 304
    assert again.headers.get("content-security-policy") in (None, page.headers["content-security-policy"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200), ("/docs", 200), ("/v1/jobs", 200), ("/v1/jobs/none", 404), ("/nothing", 404),
        ("/openapi.json", 200), ("/healthz/live", 200), ("/sign-in", 200), ("/v1/jobs?x=1", 422),
    ],
)  # fmt: skip
def test_every_answer_has_the_headers(client, path, status):
    answer = client.get(path, headers={"Accept": "text/html, */*"})
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] in ("no-referrer", "same-origin")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_refusals_have_the_headers_and_an_id_too(client):
    answer = client.get("/v1/jobs", headers={"Host": "evil.example", "X-Request-Id": "mine"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("", False),
     ("192.168.1.2", False), ("lab.example.org", False)],
)  # fmt: skip
def test_loopback_is_told_from_what_others_reach(host, is_local):
    assert is_loopback(host) == is_local
    assert is_published(Settings(host=host)) != is_local


def test_a_request_that_came_to_another_address_wants_a_key(settings):
    """As where uvicorn listens on all addresses and DRIFTLINE_HOST does not say so."""
    with TestClient(create_app(settings), LOCAL) as client:
        assert client.get("/v1/jobs").status_code == 200
        with TestClient(client.app, "http://192.0.2.1") as other:
            assert other.get("/v1/jobs").status_code == 401

"""Browsers: a key begins a session, a cookie that no script reads stands for it, signing out ends it."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest

from tests.unit.app.conftest import LOCAL, TestClient, create_app
from tests.unit.app.keys.conftest import bearer

PAGE = {"Accept": "text/html"}
ADMIN = "a-key-of-at-least-thirty-two-characters"


def sign_in(client, key, **fields):
    given = key["Authorization"].removeprefix("Bearer ")
    return client.post("/sign-in", data={"key": given, **fields}, follow_redirects=False)


def test_a_page_without_a_key_leads_to_the_form_and_back(client, make_key):
    key = make_key()
    answer = client.get("/models?limit=5", headers=PAGE, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "./sign-in?next=models%3Flimit%3D5"
    form = client.get(answer.headers["location"].removeprefix("."), headers=PAGE)
    assert 'value="models?limit=5"' in form.text
    signed_in = sign_in(client, key, next="models?limit=5")
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "./models?limit=5")
    assert client.get("/models?limit=5", headers=PAGE, follow_redirects=False).status_code == 200


def test_a_deep_page_leads_to_the_form_by_a_relative_address(client, make_key):
    make_key()
    answer = client.get("/jobs/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10", headers=PAGE, follow_redirects=False)
    assert answer.headers["location"].startswith("../sign-in?next=jobs%2F0192")


def test_the_cookie_holds_a_session_that_no_script_reads(client, make_key):
    key = make_key()
    [(name, cookie)] = SimpleCookie(sign_in(client, key).headers["set-cookie"]).items()
    assert name == "driftline_session"
    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie["path"] == "/"
    assert not cookie["secure"]
    assert cookie.value.startswith("dls_")
    assert key["Authorization"].rpartition("_")[2] not in cookie.value


def test_over_tls_the_cookie_is_secure(settings):
    with TestClient(create_app(settings), "https://localhost") as client:
        made = client.post("/v1/keys", json={"name": "k", "project": "default", "scopes": ["read"]}).json()
        cookie = sign_in(client, bearer(made["key"])).headers["set-cookie"]
    assert "Secure" in cookie


@pytest.mark.parametrize("given", ["", "dl_00000000_" + "A" * 43, "nonsense", "x" * 9000])
def test_an_unknown_key_shows_the_form_again(client, make_key, given):
    make_key()
    answer = client.post("/sign-in", data={"key": given}, headers=PAGE, follow_redirects=False)
    assert answer.status_code in (401, 413)
    assert "set-cookie" not in answer.headers
    assert given == "" or given not in answer.text


@pytest.mark.parametrize(
    "asked",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "../..", "\\\\evil"],
)
def test_signing_in_leads_to_no_other_site(client, make_key, asked):
    assert sign_in(client, make_key(), next=asked).headers["location"] == "./"


def test_scripts_of_pages_use_the_api_by_the_cookie_within_its_scopes(client, make_key):
    sign_in(client, make_key("read"))
    ours = {"Origin": LOCAL, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/v1/jobs").status_code == 200
    assert client.get("/v1/whoami").json()["scopes"] == ["read"]
    answer = client.post("/v1/webhooks", json={"url": "https://example.org/"}, headers=ours)
    assert answer.json()["code"] == "insufficient_scope"


def test_a_change_by_cookie_has_to_say_that_it_comes_from_our_pages(client, make_key):
    sign_in(client, make_key())
    hook = {"url": "https://example.org/"}
    assert client.post("/v1/webhooks", json=hook).json()["code"] == "cross_site"
    assert client.post("/v1/webhooks", json=hook, headers={"Origin": LOCAL}).status_code == 201


def test_signing_out_ends_the_session_in_the_database_too(client, make_key):
    sign_in(client, make_key())
    cookie = {"Cookie": f"driftline_session={client.cookies['driftline_session']}"}
    answer = client.post("/sign-out", headers={"Origin": LOCAL}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./sign-in")
    assert "driftline_session" not in client.cookies
    assert client.get("/v1/jobs", headers=cookie).status_code == 401


def test_a_session_ends_with_its_key(client, make_key):
    admin, key = make_key("admin"), make_key("read")
    key_id = client.get("/v1/whoami", headers=key).json()["key"]
    sign_in(client, key)
    assert client.get("/v1/jobs").status_code == 200
    client.delete(f"/v1/keys/{key_id}", headers={**admin, "Origin": LOCAL})
    assert client.get("/v1/jobs").status_code == 401


def test_a_session_is_no_key_and_a_key_no_session(client, make_key):
    key = make_key()
    sign_in(client, key)
    session = client.cookies["driftline_session"]
    client.cookies.clear()
    assert client.get("/v1/jobs", headers=bearer(session)).status_code == 401
    cookie = f"driftline_session={key['Authorization'].removeprefix('Bearer ')}"
    assert client.get("/v1/jobs", headers={"Cookie": cookie}).status_code == 401


def test_a_session_of_the_key_in_the_settings_ends_when_that_changes(settings, make_client):
    def with_key(key):
        return make_client(type(settings)(**{**settings.model_dump(), "admin_key": key}))

    with with_key(ADMIN) as client:
        sign_in(client, bearer(ADMIN))
        cookie = {"Cookie": f"driftline_session={client.cookies['driftline_session']}"}
        assert client.get("/v1/keys", headers=cookie).status_code == 200
    with with_key(ADMIN + "2") as client:
        assert client.get("/v1/keys", headers=cookie).status_code == 401
    with with_key(ADMIN) as client:
        assert client.get("/v1/keys", headers=cookie).status_code == 200


def test_who_is_signed_in_may_sign_out_on_every_page(client, make_key):
    assert "sign-out" not in client.get("/", headers=PAGE).text
    key = make_key("read", project="lab")
    sign_in(client, key)
    text = client.get("/", headers=PAGE).text
    assert 'action="./sign-out"' in text
    assert "lab" in text.partition("<main")[0]

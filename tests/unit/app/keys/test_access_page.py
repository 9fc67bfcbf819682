"""The page of usage and keys: admins make, rotate and withdraw keys on it; others see what their project uses."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def sign_in(client):
    def enter(key: dict[str, str]) -> None:
        client.cookies.clear()
        given = key["Authorization"].removeprefix("Bearer ")
        assert client.post("/sign-in", data={"key": given}, follow_redirects=False).status_code == 303

    return enter


@pytest.fixture
def origin(client) -> dict[str, str]:
    """The headers of a browser on a page of the service."""
    return {"Accept": "text/html", "Origin": str(client.base_url).rstrip("/")}


@pytest.fixture
def as_admin(make_key, sign_in, origin) -> dict[str, str]:
    """The headers of a browser in which an admin has signed in."""
    sign_in(make_key("admin"))
    return origin


def secret_in(page: str) -> str | None:
    found = re.search(r"dl_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", page)
    return None if found is None else found[0]


FORM = {"name": "notebooks", "project": "lab", "scope": ["read", "submit"]}


def test_an_admin_makes_a_key_whose_secret_is_shown_once(client, as_admin):
    made = client.post("/access/keys", data={**FORM, "days": "30"}, headers=as_admin)
    assert made.status_code == 200
    assert made.headers["cache-control"] == "no-store"
    secret = secret_in(made.text)
    whoami = client.get("/v1/whoami", headers={"Authorization": f"Bearer {secret}"}).json()
    assert (whoami["project"], whoami["scopes"]) == ("lab", ["read", "submit"])
    assert whoami["expires_at"] is not None
    again = client.get("/access", headers=as_admin).text
    assert "notebooks" in again
    assert secret_in(again) is None
    assert secret[:11] in again


def test_rotating_shows_the_new_secret_and_withdrawing_ends_it(client, as_admin):
    first = secret_in(client.post("/access/keys", data=FORM, headers=as_admin).text)
    key_id = client.get("/v1/whoami", headers={"Authorization": f"Bearer {first}"}).json()["key"]
    rotated = client.post(f"/access/keys/{key_id}/rotate", headers=as_admin)
    second = secret_in(rotated.text)
    statuses = [
        client.get("/v1/jobs", headers={"Authorization": f"Bearer {one}"}).status_code
        for one in (first, second)
    ]
    assert statuses == [401, 200]
    gone = client.post(f"/access/keys/{key_id}/withdraw", headers=as_admin, follow_redirects=False)
    assert (gone.status_code, gone.headers["location"]) == (303, "../../../access")
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {second}"}).status_code == 401
    assert "withdrawn" in client.get("/access", headers=as_admin).text
    assert client.post(f"/access/keys/{key_id}/rotate", headers=as_admin).status_code == 409


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"name": ""}, "Name"), ({"project": "Not a project"}, "Project"), ({"scope": []}, "Scopes"),
        ({"scope": ["all"]}, "Scopes"), ({"days": "-1"}, "Valid for days"), ({"days": "soon"}, "Valid for days"),
        ({"days": "nan"}, "Valid for days"), ({"name": "<script>x</script>" * 20}, "Name"),
    ],
)  # fmt: skip
def test_a_form_with_faults_is_shown_again_with_what_it_held(client, as_admin, changes, label):
    answer = client.post("/access/keys", data={**FORM, **changes}, headers=as_admin)
    assert answer.status_code == 422
    assert f"<li>{label}: " in answer.text
    assert "<script>x" not in answer.text
    if "name" not in changes:
        assert 'value="notebooks"' in answer.text
    assert len(client.get("/v1/keys?project=*").json()["items"]) == 1


def test_whoever_is_no_admin_sees_usage_and_makes_nothing(client, make_key, sign_in, origin):
    make_key("admin")
    key = make_key("read", "submit", project="lab")
    sign_in(key)
    page = client.get("/access", headers=origin)
    assert "What project lab uses" in page.text
    assert "Make the key" not in page.text
    for path in ("/access/keys", f"/access/keys/{'0' * 36}/withdraw", f"/access/keys/{'0' * 36}/rotate"):
        assert client.post(path, data=FORM, headers=origin).status_code == 403


def test_a_page_of_another_site_makes_no_key(client, make_key, sign_in):
    sign_in(make_key("admin"))
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        assert client.post("/access/keys", data=FORM, headers=headers).status_code == 403
    assert len(client.get("/v1/keys?project=*").json()["items"]) == 1


def test_a_stranger_is_asked_to_sign_in(client, make_key):
    make_key("admin")
    answer = client.get("/access", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./sign-in?next=access")


def test_without_any_key_the_page_says_what_the_first_one_does(client, origin):
    assert "nobody gets in without one" in client.get("/access", headers=origin).text

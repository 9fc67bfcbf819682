"""Keys: made, shown once, checked, limited, rotated, withdrawn."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.db.tables import ApiKey, Base, KeySecret
from app.db.types import utc_now
from app.keys import gate
from tests.unit.app.keys.conftest import bearer
from tests.waiting import until

ADMIN = "a-key-of-at-least-thirty-two-characters"


def database_of(client):
    return client.app.state.services.database.all_projects


def test_without_any_key_loopback_is_open_as_the_default_project(client):
    found = client.get("/v1/whoami").json()
    assert found == {
        "name": "no key", "project": "default", "scopes": ["admin", "read", "submit"], "key": None,
        "prefix": None, "expires_at": None,
    }  # fmt: skip


def test_as_soon_as_there_is_a_key_nobody_gets_in_without_one(client):
    made = client.post("/v1/keys", json={"name": "first", "project": "default", "scopes": ["admin"]})
    assert made.status_code == 201
    answer = client.get("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_key")
    assert answer.headers["www-authenticate"] == 'Bearer realm="driftline"'
    key = bearer(made.json()["key"])
    assert client.get("/v1/jobs", headers=key).status_code == 200
    assert client.delete(f"/v1/keys/{made.json()['id']}", headers=key).status_code == 204
    assert client.get("/v1/jobs").status_code == 401  # withdrawing the last one opens nothing


@pytest.mark.parametrize(
    "given",
    [
        "dl_00000000_" + "A" * 43,
        "dl_nonsense",
        "",
        "dl_00000000_" + "A" * 4000,
        "'; DROP TABLE api_keys; --",
        "dls_00000000_" + "A" * 43,
    ],
)
def test_an_unknown_key_is_refused_whatever_it_is(client, make_key, given):
    make_key()
    answer = client.get("/v1/jobs", headers={"Authorization": f"Bearer {given}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_key_with_the_prefix_of_another_is_refused(client, make_key):
    key = make_key()["Authorization"]
    assert client.get("/v1/jobs", headers={"Authorization": key}).status_code == 200
    forged = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert client.get("/v1/jobs", headers={"Authorization": forged}).status_code == 401


def test_the_database_has_hashes_alone(client):
    made = client.post("/v1/keys", json={"name": "k", "project": "lab", "scopes": ["read"]}).json()
    secret = made["key"].rpartition("_")[2]
    assert made["key"].startswith(made["prefix"] + "_")
    with database_of(client).reading() as session:
        tables = Base.metadata.sorted_tables
        rows = [str(row) for table in tables for row in session.execute(select(table))]
    assert any(made["prefix"] in row for row in rows)
    assert not any(secret in row for row in rows)


def test_the_secret_is_shown_once(client, make_key):
    admin = make_key("admin")
    made = client.post(
        "/v1/keys", json={"name": "k", "project": "lab", "scopes": ["read"]}, headers=admin
    ).json()
    shown = client.get(f"/v1/keys/{made['id']}", headers=admin).json()
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert made["key"] not in client.get("/v1/keys?project=*", headers=admin).text


def test_keys_are_listed_by_project(client, make_key):
    admin, _ = make_key("admin"), make_key("read", project="lab")
    names = {
        which: [key["name"] for key in client.get(f"/v1/keys{which}", headers=admin).json()["items"]]
        for which in ("", "?project=lab", "?project=*")
    }
    assert names[""] == ["key of default"]
    assert names["?project=lab"] == ["key of lab"]
    assert names["?project=*"] == ["key of lab", "key of default"]


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"read"}),
        (["submit"], {"submit"}),
        (["read", "submit"], {"read", "submit"}),
        (["admin"], {"read", "submit", "admin"}),
    ],
)
def test_a_key_is_allowed_what_its_scopes_say(client, make_key, scopes, allowed):
    key = make_key(*scopes)
    asked = {
        "read": client.get("/v1/jobs", headers=key),
        "submit": client.post("/v1/webhooks", json={"url": "https://example.org/"}, headers=key),
        "admin": client.get("/v1/keys", headers=key),
    }
    for scope, answer in asked.items():
        assert (answer.status_code != 403) == (scope in allowed), scope
        if scope not in allowed:
            assert answer.json()["code"] == "insufficient_scope"
            assert f'scope="{scope}"' in answer.headers["www-authenticate"]


def test_checking_a_configuration_wants_reading_alone(client, make_key):
    assert client.post("/v1/rpu-configs/validate", json={}, headers=make_key("read")).status_code == 200


def test_an_expired_key_is_refused(client, make_key):
    key = make_key(expires_at=utc_now() + timedelta(milliseconds=300))
    until(lambda: client.get("/v1/jobs", headers=key).status_code == 401, "the key to expire")


def test_a_key_that_expires_before_it_is_made_is_refused(client):
    body = {"name": "k", "project": "lab", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
    answer = client.post("/v1/keys", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/expires_at"


@pytest.mark.parametrize("project", ["", "Lab", "a b", "*", "../x", "x" * 65, "é"])
def test_names_of_projects_are_plain(client, project):
    answer = client.post("/v1/keys", json={"name": "k", "project": project, "scopes": ["read"]})
    assert answer.status_code == 422


def test_a_withdrawn_key_is_refused_at_once_and_stays_in_the_list(client, make_key):
    admin = make_key("admin")
    made = client.post(
        "/v1/keys", json={"name": "k", "project": "lab", "scopes": ["read"]}, headers=admin
    ).json()
    key = bearer(made["key"])
    assert client.get("/v1/jobs", headers=key).status_code == 200
    assert client.delete(f"/v1/keys/{made['id']}", headers=admin).status_code == 204
    assert client.get("/v1/jobs", headers=key).status_code == 401
    [listed] = client.get("/v1/keys?project=lab", headers=admin).json()["items"]
    assert listed["withdrawn_at"] is not None
    assert client.post(f"/v1/keys/{made['id']}/rotate", headers=admin).status_code == 409


def test_a_key_that_another_process_withdrew_is_refused_soon(client, make_key, monkeypatch):
    monkeypatch.setattr(gate, "LOOK_S", 0.2)
    make_key()
    key = make_key()
    assert client.get("/v1/jobs", headers=key).status_code == 200
    with database_of(client).transaction() as session:
        for row in session.scalars(select(ApiKey)):
            row.withdrawn_at = utc_now()
    until(lambda: client.get("/v1/jobs", headers=key).status_code == 401, "the key to be refused")


def test_a_rotated_key_has_another_secret_and_the_old_one_stops_at_once(client, make_key):
    admin, old = make_key("admin"), make_key("read", project="lab")
    key_id = client.get("/v1/whoami", headers=old).json()["key"]
    rotated = client.post(f"/v1/keys/{key_id}/rotate", headers=admin)
    assert rotated.status_code == 201
    assert (rotated.json()["id"], rotated.json()["project"]) == (key_id, "lab")
    assert client.get("/v1/jobs", headers=old).status_code == 401
    assert client.get("/v1/whoami", headers=bearer(rotated.json()["key"])).json()["key"] == key_id


def test_a_grace_lets_the_old_secret_be_valid_for_its_time(client, make_key):
    admin, old = make_key("admin"), make_key("read")
    key_id = client.get("/v1/whoami", headers=old).json()["key"]
    path = f"/v1/keys/{key_id}/rotate"
    new = client.post(path, json={"grace_s": 3600}, headers=admin).json()
    assert [one["prefix"] for one in new["old_secrets"]] == [old["Authorization"][7:18]]
    assert client.get("/v1/jobs", headers=old).status_code == 200
    assert client.get("/v1/jobs", headers=bearer(new["key"])).status_code == 200
    client.post(path, json={"grace_s": 0.2}, headers=admin)
    until(lambda: client.get("/v1/jobs", headers=old).status_code == 401, "the grace to end")
    assert client.post(path, json={"grace_s": -1}, headers=admin).status_code == 422


def test_the_last_use_is_written_at_most_once_a_minute(client, make_key, monkeypatch):
    monkeypatch.setattr(gate, "LOOK_S", 0.0)
    key = make_key()

    def last_use():
        with database_of(client).reading() as session:
            return session.scalars(select(ApiKey.last_used_at)).one()

    assert last_use() is None
    client.get("/v1/jobs", headers=key)
    first = until(last_use, "the use to be written")
    for _ in range(5):
        client.get("/v1/jobs", headers=key)
    assert last_use() == first
    with database_of(client).transaction() as session:
        session.scalars(select(ApiKey)).one().last_used_at = first - timedelta(minutes=2)
    client.get("/v1/jobs", headers=key)
    until(lambda: last_use() >= first, "the next use to be written")


def test_a_kept_key_asks_the_database_once(client, make_key):
    key = make_key()
    gate_of = client.app.state.services.access
    client.get("/v1/whoami", headers=key)
    kept = dict(gate_of._kept)
    for _ in range(20):
        assert client.get("/v1/whoami", headers=key).status_code == 200
    assert gate_of._kept == kept


def test_the_key_in_the_settings_is_an_admin(settings, make_client):
    changed = settings.model_copy(update={"admin_key": type(settings)(admin_key=ADMIN).admin_key})
    with make_client(changed) as client:
        assert client.get("/v1/jobs").status_code == 401
        assert client.get("/v1/whoami", headers=bearer(ADMIN)).json()["name"] == "DRIFTLINE_ADMIN_KEY"
        assert client.get("/v1/keys", headers=bearer(ADMIN)).json()["items"] == []
        assert client.get("/v1/jobs", headers=bearer(ADMIN + "x")).status_code == 401


def test_the_key_in_the_settings_reaches_child_processes_and_no_log(settings):
    changed = settings.model_copy(update={"admin_key": type(settings)(admin_key=ADMIN).admin_key})
    assert changed.to_environment()["DRIFTLINE_ADMIN_KEY"] == ADMIN
    assert ADMIN not in repr(changed)


def test_admins_act_in_the_project_that_they_name(client, make_key):
    admin, lab = make_key("admin"), make_key("read", "submit", project="lab")
    body = {"name": "theirs", "config": {}}
    stored = client.post("/v1/rpu-configs?project=lab", json=body, headers=admin)
    assert stored.status_code == 201
    path = f"/v1/rpu-configs/{stored.json()['id']}"
    assert client.get(path, headers=lab).status_code == 200
    assert client.get(path, headers=admin).status_code == 404
    assert client.get(f"{path}?project=lab", headers=admin).status_code == 200
    assert client.get(f"{path}?project=*", headers=admin).status_code == 200


def test_pages_of_a_list_go_on_in_the_project_that_was_named(client, make_key):
    admin, _ = make_key("admin"), make_key(project="lab")
    for number in range(3):
        body = {"name": f"c{number}", "config": {}}
        client.post("/v1/rpu-configs?project=lab", json=body, headers=admin)
    answer = client.get("/v1/rpu-configs?project=lab&limit=2", headers=admin)
    target = answer.headers["link"].partition(">")[0].removeprefix("<")
    assert [one["name"] for one in client.get(target, headers=admin).json()["items"]] == ["c0"]


def test_who_is_no_admin_names_no_other_project(client, make_key):
    make_key(project="lab")
    key = make_key("read", "submit")
    assert client.get("/v1/jobs?project=default", headers=key).status_code == 200
    for project in ("lab", "*", "nothing"):
        assert client.get(f"/v1/jobs?project={project}", headers=key).status_code == 403


def test_an_admin_who_names_an_unknown_project_is_told(client, make_key):
    admin = make_key("admin")
    assert client.get("/v1/jobs?project=nothing", headers=admin).status_code == 404
    body = {"name": "c", "config": {}}
    assert client.post("/v1/rpu-configs?project=*", json=body, headers=admin).status_code == 404


def test_health_static_files_and_reference_are_open(client, make_key):
    make_key()
    page = client.get("/docs", headers={"Accept": "text/html"})
    style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    for path in ("/healthz/live", "/healthz/ready", "/openapi.json", f"/{style.removeprefix('./')}"):
        assert client.get(path).status_code == 200, path
    assert page.status_code == 200
    assert "queued" not in page.text.partition("<main")[0]


def test_another_scheme_than_bearer_is_a_proxys_business(client):
    assert client.get("/v1/jobs", headers={"Authorization": "Basic eDp5"}).status_code == 200


def test_expired_sessions_are_dropped_when_the_next_one_begins(client, make_key):
    key = make_key()["Authorization"].removeprefix("Bearer ")
    for _ in range(2):
        client.post("/sign-in", data={"key": key}, follow_redirects=False)
        with database_of(client).transaction() as session:
            sessions = session.scalars(select(KeySecret).where(KeySecret.kind == "session")).all()
            sessions[0].expires_at = utc_now() - timedelta(seconds=1)
    assert len(sessions) == 1

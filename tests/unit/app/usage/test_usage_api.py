"""Quotas: what is beyond a limit is refused, and says when to come back."""

from __future__ import annotations

import threading

import pytest

from app.db.tables import Job
from app.settings import Settings
from tests.unit.app.jobs.submissions import body, put, submit
from tests.unit.app.keys.conftest import bearer, new_key
from tests.unit.app.networks import mlp_bytes

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def limited(database_url, tmp_path, make_client):
    """Return a service with limits, on each database."""
    opened = []

    def start(**limits):
        settings = Settings(data_dir=tmp_path, database_url=database_url, redis_url=None, **limits)
        client = make_client(settings).__enter__()
        opened.append(client)
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


def test_without_limits_usage_is_counted_and_nothing_is_refused(client):
    found = client.get("/v1/usage")
    assert found.json() == {
        "project": "default", "jobs": {"used": 0, "limit": None}, "seconds_a_day": {"used": 0.0, "limit": None},
        "bytes": {"used": 0, "limit": None}, "requests_a_second": None,
    }  # fmt: skip
    assert "ratelimit" not in found.headers
    submit(client, body(client))
    found = client.get("/v1/usage").json()
    assert found["jobs"]["used"] == 1
    assert found["seconds_a_day"]["used"] > 0
    assert found["bytes"]["used"] > 0


def test_jobs_that_have_not_ended_are_limited(limited):
    client = limited(quota_jobs=2)
    job = body(client)
    first = submit(client, job)
    submit(client, {**job, "seed": 1})
    refused = client.post("/v1/jobs", json={**job, "seed": 2})
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert refused.json()["errors"][0]["code"] == "quota_jobs"
    assert int(refused.headers["retry-after"]) > 0
    assert client.get("/v1/jobs").json()["items"][0]["spec"]["seed"] == 1  # nothing of it is there
    put(client, first, "cancelled")
    submit(client, {**job, "seed": 2})


def test_submissions_at_once_do_not_slip_through(limited):
    client = limited(quota_jobs=3)
    job = body(client)
    statuses = []

    def send(seed):
        statuses.append(client.post("/v1/jobs", json={**job, "seed": seed}).status_code)

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(statuses) == [202] * 3 + [429] * 5


def test_estimated_seconds_a_day_are_limited(limited):
    client = limited(quota_seconds_a_day=1e-9)
    refused = client.post("/v1/jobs", json=body(client))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, "quota_seconds_a_day")
    assert client.post("/v1/jobs?dry_run=true", json=body(client)).status_code == 200


def test_seconds_come_back_after_a_day(limited):
    client = limited(quota_seconds_a_day=3600)
    first = submit(client, body(client))
    with client.app.state.services.database.all_projects.transaction() as session:
        session.get_one(Job, first).estimated_s = 3600.0
    refused = client.post("/v1/jobs", json=body(client, seed=5))
    assert 86000 < int(refused.headers["retry-after"]) <= 86400


def test_stored_bytes_are_limited(limited, leftovers_in, tmp_path):
    client = limited(quota_bytes=len(mlp_bytes(0)) + 10)
    kept = client.post("/v1/models", content=mlp_bytes(0), headers=RAW)
    assert kept.status_code == 201
    refused = client.post("/v1/models", content=mlp_bytes(1), headers=RAW)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, "quota_bytes")
    assert "retry-after" not in refused.headers  # time alone does not help
    assert len(leftovers_in(tmp_path)) == 1
    assert client.post("/v1/models", content=mlp_bytes(0), headers=RAW).status_code == 200  # known already
    assert client.delete(f"/v1/models/{kept.json()['id']}").status_code == 204
    assert client.post("/v1/models", content=mlp_bytes(1), headers=RAW).status_code == 201


def test_requests_are_limited_and_answers_say_how_many_are_left(limited):
    client = limited(quota_requests_a_second=0.5)
    answers = [client.get("/v1/jobs") for _ in range(6)]
    assert [one.status_code for one in answers] == [200] * 5 + [429]
    assert [one.headers["ratelimit-policy"] for one in answers] == ['"requests";q=5;w=10'] * 6
    assert answers[0].headers["ratelimit"].startswith('"requests";r=4;')
    assert answers[5].headers["ratelimit"].startswith('"requests";r=0;t=')
    assert answers[5].json()["code"] == "too_many_requests"
    assert 1 <= int(answers[5].headers["retry-after"]) <= 2
    assert client.get("/healthz/live").status_code == 200


def test_each_project_has_its_own_limits(limited):
    client = limited(quota_jobs=0, quota_requests_a_second=1000)
    services = client.app.state.services
    admin = bearer(new_key(services.database.all_projects, "admin"))
    lab = bearer(new_key(services.database.all_projects, project="lab"))
    services.access.forget()
    changed = client.patch("/v1/projects/lab", json={"limits": {"jobs": None}, "share": 2}, headers=admin)
    assert changed.json() == {"name": "lab", "share": 2.0, "limits": {"jobs": None}}
    listed = client.get("/v1/projects", headers=admin).json()["items"]
    assert [one["name"] for one in listed] == ["default", "lab"]
    assert client.get("/v1/usage", headers=lab).json()["jobs"]["limit"] is None
    assert client.get("/v1/usage", headers=admin).json()["jobs"]["limit"] == 0
    client.patch("/v1/projects/lab", json={"limits": {"requests_a_second": 0.1}}, headers=admin)
    assert [client.get("/v1/jobs", headers=lab).status_code for _ in range(2)] == [200, 429]
    assert client.get("/v1/jobs", headers=admin).status_code == 200
    client.patch("/v1/projects/lab", json={"limits": {}}, headers=admin)
    assert client.get("/v1/jobs", headers=lab).status_code == 200
    assert client.get("/v1/usage", headers=lab).json()["jobs"]["limit"] == 0


def test_one_projects_usage_is_not_anothers(limited):
    client = limited(quota_jobs=1)
    submit(client, body(client))
    services = client.app.state.services
    lab = bearer(new_key(services.database.all_projects, project="lab"))
    services.access.forget()
    found = client.get("/v1/usage", headers=lab).json()
    assert (found["project"], found["jobs"]["used"], found["bytes"]["used"]) == ("lab", 0, 0)


@pytest.mark.parametrize(
    ("path", "change", "status"),
    [
        ("/v1/projects/none", {"share": 2}, 404),
        ("/v1/projects/default", {"share": 0}, 422),
        ("/v1/projects/default", {"limits": {"jobs": -1}}, 422),
        ("/v1/projects/default", {"limits": {"cells": 1}}, 422),
    ],
)
def test_changes_of_projects_are_checked(client, path, change, status):
    assert client.patch(path, json=change).status_code == status

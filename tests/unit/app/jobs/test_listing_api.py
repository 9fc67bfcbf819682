"""`GET /v1/jobs`: which jobs, in which order, how much of each."""

import datetime as dt
import json
from contextlib import contextmanager

import pytest
from sqlalchemy import event, insert, text

from app.db.ids import new_id
from app.db.tables import Job
from tests.unit.app.jobs.submissions import body, codes, database_of, put, submit


def listed(client, **params):
    answer = client.get("/v1/jobs", params=params)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["items"]]


@pytest.fixture
def ids(client):
    return [
        submit(client, body(client, seed=seed, name=f"job {seed}", tags=["a", f"t{seed}"]))
        for seed in range(3)
    ]


def test_jobs_come_newest_first_or_oldest_first(client, ids):
    assert listed(client) == ids[::-1]
    assert listed(client, order="asc") == ids


def test_pages_follow_one_another_without_gap_or_repetition(client, ids):
    first = client.get("/v1/jobs", params={"limit": 2})
    assert 'rel="next"' in first.headers["link"]
    second = client.get("/v1/jobs", params={"limit": 2, "cursor": first.json()["next_cursor"]}).json()
    assert [job["id"] for page in (first.json(), second) for job in page["items"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_a_cursor_of_the_other_order_is_refused(client, ids):
    cursor = client.get("/v1/jobs", params={"limit": 1}).json()["next_cursor"]
    answer = client.get("/v1/jobs", params={"cursor": cursor, "order": "asc"})
    assert codes(answer) == {("/query/cursor", "invalid_cursor")}


def test_every_filter_holds(client, ids):
    put(client, ids[0], "failed")
    job = client.get(f"/v1/jobs/{ids[1]}").json()
    assert listed(client, state="failed") == [ids[0]]
    assert listed(client, state=["failed", "queued"]) == ids[::-1]
    assert listed(client, tag="t1") == [ids[1]]
    assert listed(client, tag=["a", "t2"]) == [ids[2]]
    assert listed(client, model=job["spec"]["model"]) == ids[::-1]
    assert listed(client, dataset=job["spec"]["dataset"]) == ids[::-1]
    assert listed(client, config_hash=job["config_hash"]) == ids[::-1]
    assert listed(client, q="JOB 1") == [ids[1]]
    assert listed(client, q="%") == []
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).date().isoformat()
    assert listed(client, created_after=tomorrow) == []
    assert listed(client, created_before=tomorrow, created_after="2020-01-01") == ids[::-1]


def test_some_fields_of_each_job_are_as_in_the_whole(client, ids):
    whole = client.get("/v1/jobs").json()["items"]
    some = client.get("/v1/jobs", params={"fields": "state, progress,created_at"}).json()
    assert some["items"] == [
        {name: job[name] for name in ("id", "state", "progress", "created_at")} for job in whole
    ]
    assert some["next_cursor"] is None
    everything = client.get("/v1/jobs", params={"fields": ",".join(whole[0])}).json()["items"]
    assert everything == whole


def test_every_unknown_field_is_reported_along_with_other_faults(client):
    answer = client.get("/v1/jobs", params={"fields": "sate,id,progres", "limit": 0})
    hints = [error.get("hint", "") for error in answer.json()["errors"] if error["code"] == "unknown_field"]
    assert ["did you mean 'state'" in hints[0], "did you mean 'progress'" in hints[1]] == [True, True]
    assert codes(answer) >= {("/query/limit", "greater_than_equal"), ("/query/fields", "unknown_field")}


def test_a_list_of_fields_that_is_too_long_is_refused(client):
    answer = client.get("/v1/jobs", params={"fields": "state," * 200})
    assert codes(answer) == {("/query/fields", "string_too_long")}


def plan(connection, statement, **values):
    return " ".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"), values))


@pytest.mark.parametrize("column", ["state", "config_hash", "model_id", "dataset_ref"])
def test_a_filter_finds_its_page_in_an_index_that_has_the_lists_order(client, column):
    with database_of(client).reading() as session:
        statement = f"SELECT * FROM jobs WHERE {column} = :value ORDER BY id DESC LIMIT 51"  # noqa: S608
        found = plan(session.connection(), statement, value="x")
    assert f"ix_jobs_{column}_id" in found
    assert "TEMP B-TREE" not in found


@contextmanager
def thousands_of_steps(database):
    """Count the steps that SQLite takes, in thousands."""
    counted = []

    def begin(connection, *_):
        connection.set_progress_handler(lambda: counted.append(1), 1000)  # None lets SQLite go on

    def end(connection, *_):
        connection.set_progress_handler(None, 0)

    event.listen(database.engine, "checkout", begin)
    event.listen(database.engine, "checkin", end)
    try:
        yield counted
    finally:
        event.remove(database.engine, "checkout", begin)
        event.remove(database.engine, "checkin", end)


def test_a_page_of_thousands_of_jobs_is_found_at_once(client, ids):
    with database_of(client).transaction() as session:
        row = dict(session.execute(text("SELECT * FROM jobs LIMIT 1")).mappings().one())
        job = session.get_one(Job, ids[0])
        columns = {column.key: getattr(job, column.key) for column in Job.__table__.columns}
        assert row["id"] == columns["id"]
        session.execute(insert(Job), [{**columns, "id": new_id()} for _ in range(5000)])
        other = session.get_one(Job, ids[1])
        other.state = "failed"
    for params in (
        {"model": job.model_id},
        {"state": "queued"},
        {"created_after": "2020-01-01"},
        {"state": "failed"},
    ):
        with thousands_of_steps(database_of(client)) as steps:
            answer = client.get("/v1/jobs", params={"limit": 5, "fields": "state", **params})
        assert answer.status_code == 200
        assert len(steps) < 10, params  # one step for each of the 5,000 jobs is more than 20 already
    assert json.loads(answer.content)["items"] == [{"id": ids[1], "state": "failed"}]

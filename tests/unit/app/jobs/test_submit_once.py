"""`POST /v1/jobs` with an `Idempotency-Key`, on each database."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.db.tables import Job, WorkItem
from app.settings import Settings
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def client(database_url, tmp_path, make_client):
    with make_client(Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)) as client:
        yield client


@pytest.fixture
def job(client):
    model = client.post("/v1/models", content=mlp_bytes(), headers=RAW).json()["id"]
    dataset = client.post("/v1/datasets", content=npz(**dataset_arrays()), headers=RAW).json()["id"]
    evaluate = {"t_inference": [1, 3600], "repeats": 2, "variants": ["digital", "direct"]}
    return {"model": model, "dataset": dataset, "rpu_config": {}, "evaluate": evaluate}


def submit(client, job, key):
    return client.post("/v1/jobs", json=job, headers={"Idempotency-Key": key})


def count(database, table):
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(table))


def test_fifty_submissions_at_once_with_one_key_are_one_job(client, database, job):
    start = threading.Barrier(50)

    def send():
        start.wait(30)
        return submit(client, job, '"one key"')

    with ThreadPoolExecutor(50) as pool:
        answers = [future.result(120) for future in [pool.submit(send) for _ in range(50)]]
    assert count(database, Job) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    ids = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(ids) == 1
    again = submit(client, job, "one key".join('""'))
    assert again.json()["id"] in ids


def test_a_repetition_gets_the_job_as_it_was_first_told(client, database, job):
    first = submit(client, job, "k")
    client.post(f"/v1/jobs/{first.json()['id']}/cancel")
    again = submit(client, job, "k")
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.content) == (202, first.content)
    for header in ("location", "etag", "retry-after"):
        assert again.headers[header] == first.headers[header]
    assert count(database, Job) == 1


def test_a_refused_job_leaves_its_key_unused(client, database, job):
    assert submit(client, {**job, "dataset": "builtin:nothing"}, "k").status_code == 422
    assert submit(client, job, "k").status_code == 202
    assert submit(client, {**job, "seed": 1}, "k").json()["code"] == "idempotency_key_reused"
    assert count(database, Job) == 1
    assert count(database, WorkItem) > 1


def test_the_entity_tag_of_the_answer_is_that_of_the_job(client, job):
    first = submit(client, job, "k")
    assert client.get(first.headers["location"]).headers["etag"] == first.headers["etag"]


def test_a_repetition_whose_job_was_deleted_is_told_so_and_makes_none(client, database, job):
    location = submit(client, job, "k").headers["location"]
    client.post(f"{location}/cancel")
    assert client.delete(location).status_code == 204
    again = submit(client, job, "k")
    assert (again.status_code, again.json()["code"]) == (410, "idempotent_result_deleted")
    assert again.json()["errors"][0]["hint"] == "send the request with a new key to have it done again"
    assert count(database, Job) == 0
    assert submit(client, job, "another").status_code == 202

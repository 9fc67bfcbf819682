"""Every promise of the job endpoints, with twenty clients at once, on each database.

The workers' part of `POST /v1/jobs`, taking over results, is driven too: the jobs share a model, data and
configuration, and one of them has finished.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.db.tables import Job, JobTag, WorkItem
from app.settings import Settings
from tests.unit.app.jobs.submissions import (
    add_baseline,
    add_cells,
    add_description,
    body,
    database_of,
    put,
    submit,
)

CLIENTS = 20
FINETUNE = {"epochs": 1, "max_samples": 6, "optimizer": {"type": "sgd", "lr": 0.01}}


@pytest.fixture
def client(database_url, tmp_path, make_client):
    with make_client(Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)) as client:
        yield client


def at_once(work, count=CLIENTS):
    """Return what `work(number)` answers, called by so many threads at the same moment."""
    start = threading.Barrier(count)

    def run(number):
        start.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def statuses(answers):
    """Count the answers; one that may come under load has to say when to come again."""
    for answer in answers:
        assert answer.status_code < 500 or answer.headers.get("retry-after"), answer.text
    return Counter(answer.status_code for answer in answers)


def finished(client, job):
    """Return a job that has succeeded, with cells that others can take over."""
    job_id = submit(client, job)
    put(client, job_id, "succeeded")
    add_baseline(client, job_id)
    add_description(client, job_id)
    add_cells(client, job_id, *(("direct", n, t, 9, 1.0) for n in range(2) for t in (1.0, 3600.0)))
    return job_id


def count(client, table, *conditions):
    with database_of(client).reading() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions))


def test_different_jobs(client):
    job = body(client)
    answers = at_once(
        lambda number: client.post("/v1/jobs", json={**job, "seed": number, "tags": [f"t{number}"]})
    )
    assert statuses(answers) == {202: CLIENTS}
    assert len({answer.json()["id"] for answer in answers}) == count(client, Job) == CLIENTS
    assert count(client, JobTag) == CLIENTS


def test_the_same_job(client):
    job = body(client)
    finished(client, job)
    answers = at_once(lambda _: client.post("/v1/jobs", json=job))
    assert statuses(answers) == {202: CLIENTS}
    assert {answer.json()["state"] for answer in answers} == {"succeeded"}, "all of it was computed before"


def test_jobs_that_share_a_part(client):
    job = body(client, finetune=FINETUNE)
    job["evaluate"] = {**job["evaluate"], "variants": ["digital", "direct", "hwa"]}
    finished(client, job)

    def send(number):
        finetune = {**FINETUNE, "optimizer": {"type": "sgd", "lr": 0.001 * (number + 1)}}
        return client.post("/v1/jobs", json={**job, "finetune": finetune})

    answers = at_once(send)
    assert statuses(answers) == {202: CLIENTS}
    assert all(answer.json()["cached_from"] for answer in answers)


def test_one_job_under_one_key(client):
    job = body(client)
    answers = at_once(lambda _: client.post("/v1/jobs", json=job, headers={"Idempotency-Key": "k"}))
    found = statuses(answers)
    assert found.keys() <= {202, 409}
    assert count(client, Job) == 1
    ids = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(ids) == 1


def test_the_cancelling_of_one_job(client):
    job_id = submit(client, body(client))
    assert statuses(at_once(lambda _: client.post(f"/v1/jobs/{job_id}/cancel"))) == {202: 1, 409: CLIENTS - 1}
    assert count(client, WorkItem, WorkItem.state != "cancelled") == 0


def test_the_deletion_of_one_job(client):
    job_id = finished(client, body(client))
    assert statuses(at_once(lambda _: client.delete(f"/v1/jobs/{job_id}"))) == {204: 1, 404: CLIENTS - 1}
    assert count(client, Job) == 0


def test_extensions_of_one_job(client):
    job_id = finished(client, body(client))
    answers = at_once(lambda n: client.post(f"/v1/jobs/{job_id}/extend", json={"repeats": 3 + n}))
    assert statuses(answers) == {202: CLIENTS}
    assert {answer.json()["extends"] for answer in answers} == {job_id}


def test_retries_of_one_job(client):
    job_id = submit(client, body(client))
    put(client, job_id, "failed")
    answers = at_once(lambda _: client.post(f"/v1/jobs/{job_id}/retry"))
    assert statuses(answers) == {202: CLIENTS}
    assert count(client, Job, Job.retry_of == job_id) == CLIENTS


def test_lists_while_jobs_come_and_go(client):
    job = body(client)

    def act(number):
        if number % 2:
            answer = client.get("/v1/jobs", params={"limit": 5, "order": "asc"})
            ids = [item["id"] for item in answer.json()["items"]]
            assert ids == sorted(ids)
            return answer
        answer = client.post("/v1/jobs", json={**job, "seed": number})
        client.post(f"/v1/jobs/{answer.json()['id']}/cancel")
        return client.delete(f"/v1/jobs/{answer.json()['id']}")

    assert statuses(at_once(act)) == {200: CLIENTS // 2, 204: CLIENTS // 2}
    assert count(client, Job) == 0


def test_dry_runs_and_submissions(client):
    job = body(client)
    answers = at_once(
        lambda n: client.post("/v1/jobs", params={"dry_run": bool(n % 2)}, json={**job, "seed": n})
    )
    assert statuses(answers) == {200: CLIENTS // 2, 202: CLIENTS // 2}


def test_results_of_one_job_while_cells_are_written(client):
    job_id = finished(client, body(client))

    def act(number):
        if number % 4 == 0:
            add_cells(client, job_id, ("direct", 10 + number, 1.0, 9, 1.0))
        return client.get(f"/v1/jobs/{job_id}/results", params={"cells": bool(number % 2)})

    answers = at_once(act)
    assert statuses(answers) == {200: CLIENTS}
    for answer in answers:
        found = answer.json()
        repeats = {
            (s["variant"], p["t_inference"]): p["repeats"] for s in found["series"] for p in s["points"]
        }
        if "cells" in found:
            told = Counter((cell["variant"], cell["t_inference"]) for cell in found["cells"])
            assert told == repeats, "cells and statistics are of one moment"

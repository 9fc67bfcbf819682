"""What depends on the database, on each of them."""

import os
import threading

import pytest

from app.db.tables import Model
from app.settings import Settings
from tests.unit.app.jobs_of import job_on
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def each_client(database_url, tmp_path, make_client):
    settings = Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)
    with make_client(settings) as client:
        yield client


@pytest.fixture
def seed():
    """Bytes that no other test has uploaded: the PostgreSQL database is shared by a run's tests."""
    return int.from_bytes(os.urandom(6), "big")


def test_the_same_bytes_at_once_are_one_model_or_dataset(each_client, leftovers_in, seed, tmp_path):
    for path, content in (
        ("/v1/models", mlp_bytes(seed)),
        ("/v1/datasets", npz(**dataset_arrays(seed=seed))),
    ):
        answers = []

        def upload(path=path, content=content, answers=answers):
            answers.append(each_client.post(path, content=content, headers=RAW))

        threads = [threading.Thread(target=upload) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(leftovers_in(tmp_path)) == 2


def test_a_model_is_stored_listed_and_deleted(each_client, leftovers_in, seed, tmp_path):
    model = each_client.post("/v1/models", content=mlp_bytes(seed), headers=RAW).json()
    assert each_client.get(f"/v1/models/{model['id']}").json() == model
    assert each_client.get("/v1/models?limit=1").json()["items"] == [model]
    assert each_client.delete(f"/v1/models/{model['id']}").status_code == 204
    assert each_client.get(f"/v1/models/{model['id']}").status_code == 404
    assert leftovers_in(tmp_path) == []


def test_a_model_that_a_job_is_on_stays(each_client, database, seed):
    model_id = each_client.post("/v1/models", content=mlp_bytes(seed), headers=RAW).json()["id"]
    with database.transaction() as session:
        session.add(job_on(model_id))
    assert each_client.delete(f"/v1/models/{model_id}").status_code == 409
    with database.reading() as session:
        assert session.get(Model, model_id) is not None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/%00",
        "/v1/models?cursor=%00",
        "/v1/datasets/%00",
        "/v1/jobs/%00",
        "/v1/jobs?tag=%00",
        "/v1/jobs?model=%00",
    ],
)
def test_nul_never_reaches_the_database(each_client, path):
    assert each_client.get(path).status_code in (404, 422)


def test_the_service_is_ready(each_client):
    checks = each_client.get("/healthz/ready").json()["checks"]
    assert (checks["database"]["status"], checks["storage"]["status"]) == ("ok", "ok")
    assert each_client.get("/v1/workers").status_code == 200

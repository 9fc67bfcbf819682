"""What depends on the database, on each of them."""

import base64
import contextlib
import io
import json
import os
import threading

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pyarrow import parquet as pq
from safetensors.numpy import save

from app.db.tables import Model
from app.settings import Settings
from tests.unit.app.jobs_of import job_on
from tests.unit.app.networks import dataset_arrays, mlp, mlp_bytes, npz

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
        "/v1/jobs?q=%00",
        "/v1/jobs/%00/results",
        "/v1/jobs/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10/artifacts/%00",
        "/v1/rpu-configs/%00",
        "/v1/webhooks/%00",
        "/v1/compare?job=%00&job=a",
    ],
)
def test_nul_never_reaches_the_database(each_client, path):
    assert each_client.get(path).status_code in (404, 422)


def test_the_service_is_ready(each_client):
    checks = each_client.get("/healthz/ready").json()["checks"]
    assert (checks["database"]["status"], checks["storage"]["status"]) == ("ok", "ok")
    assert each_client.get("/v1/workers").status_code == 200


FORGED = ["\0", "\ud800", "x\0y", "", "x" * 500, "'; drop table jobs; --"]


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/models", "models"), ("/v1/jobs", "jobs:desc"), ("/v1/datasets", "datasets"),
     ("/v1/webhooks", "webhooks"), ("/v1/rpu-configs", "rpu-configs")],
)  # fmt: skip
def test_a_forged_cursor_is_refused_or_harmless(each_client, path, name):
    for key in FORGED:
        text = base64.urlsafe_b64encode(json.dumps([name, key]).encode()).decode().rstrip("=")
        answer = each_client.get(path, params={"cursor": text})
        assert answer.status_code in (200, 422), (key, answer.text)


def test_a_cursor_with_a_number_that_no_database_holds_is_refused(each_client, database, seed):
    model_id = each_client.post("/v1/models", content=mlp_bytes(seed), headers=RAW).json()["id"]
    with database.transaction() as session:
        job = job_on(model_id)
        session.add(job)
        session.flush()
    for number in (2**63, -(2**64), 10**30, 1e300, True):
        text = base64.urlsafe_b64encode(json.dumps(["events", number]).encode()).decode().rstrip("=")
        answer = each_client.get(f"/v1/jobs/{job.id}/events", params={"cursor": text})
        assert answer.json()["errors"][0]["code"] == "invalid_cursor", number


def hostile_models():
    model = mlp()
    model.producer_name = "a\0b"
    yield "producer", model
    model = mlp()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "b\0"
    yield "symbolic dimension", model
    model = mlp()
    model.graph.input[0].name = model.graph.node[0].input[0] = "x\0"
    yield "input", model
    model = mlp()
    model.graph.input[0].name = model.graph.node[0].input[0] = "x" * 100_000
    yield "long name", model


@pytest.mark.parametrize("what", [what for what, _ in hostile_models()])
def test_names_in_a_model_that_cannot_be_stored_are_refused(each_client, what):
    model = dict(hostile_models())[what]
    answer = each_client.post("/v1/models", content=model.SerializeToString(), headers=RAW)
    assert answer.status_code == 422
    assert len(answer.content) < 10_000
    assert answer.json()["errors"][0]["code"] in ("nul_character", "too_long"), answer.text


def test_names_in_a_dataset_that_cannot_be_stored_are_refused(each_client):
    extra = {f"x_a\0b_{part}": np.zeros((size, 1), "float32") for part, size in (("train", 12), ("test", 6))}
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": [1.0, 2.0] * 20, "y": ["c\0e", "d"] * 20}), buffer)
    for media_type, content in (
        ("application/vnd.safetensors", save({**dataset_arrays(), **extra})),
        ("application/vnd.apache.parquet", buffer.getvalue()),
    ):
        answer = each_client.post(
            "/v1/datasets?test_fraction=0.5" if "parquet" in media_type else "/v1/datasets",
            content=content,
            headers={"Content-Type": media_type},
        )
        assert answer.status_code == 422, answer.text
        assert "nul_character" in {fault["code"] for fault in answer.json()["errors"]}, answer.text


def test_more_requests_than_connections_are_told_to_come_again(database_url, tmp_path, make_client):
    settings = Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)
    with make_client(settings) as client:
        engine = client.app.state.services.database.engine
        engine.pool._timeout = 0.1
        held = []
        with contextlib.suppress(sa.exc.TimeoutError):
            while True:
                held.append(engine.connect())
        answer = client.get("/v1/jobs")
        for connection in held:
            connection.close()
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]
        assert client.get("/v1/jobs").status_code == 200

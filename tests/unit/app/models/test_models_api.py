import hashlib
import threading

import numpy as np
import onnx
import pytest
from sqlalchemy import func, select

from app.db.session import Database
from app.db.tables import Model
from tests.unit.app.jobs_of import job_on
from tests.unit.app.networks import mlp, mlp_bytes, with_external_data

RAW = {"Content-Type": "application/octet-stream"}
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"


@pytest.fixture
def database(settings):
    database = Database(settings.resolved_database_url)
    yield database
    database.dispose()


@pytest.fixture
def rows(database):
    def count() -> int:
        with database.reading() as session:
            return session.scalars(select(func.count()).select_from(Model)).one()

    return count


def upload(client, content, **query):
    return client.post("/v1/models", params=query, content=content, headers=RAW)


def test_an_upload_is_answered_with_what_the_file_holds(client, leftovers):
    content = mlp_bytes()
    answer = upload(client, content, name="a net")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert answer.headers["location"] == f"/v1/models/{body['id']}"
    assert body["name"] == "a net"
    assert body["sha256"] == hashlib.sha256(content).hexdigest()
    assert body["size_bytes"] == len(content)
    assert (body["opset"], body["parameters"]) == (20, 35)
    assert body["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]
    assert body["outputs"] == [{"name": "y", "dtype": "float32", "shape": ["batch", 3], "activation": None}]
    assert [(layer["name"], layer["kind"], layer["weight_shape"]) for layer in body["layers"]] == [
        ("fc1", "analog", [5, 4]),
        ("fc2", "analog", [3, 5]),
    ]
    assert body["verification"] == {"state": "pending", "max_rel_diff": None}
    assert body["created_at"].endswith("Z")
    assert client.get(f"/v1/models/{body['id']}").json() == body
    assert len(leftovers()) == 1


def test_a_form_upload_is_called_by_its_file(client):
    answer = client.post("/v1/models", files={"file": ("lenet.onnx", mlp_bytes())})
    assert (answer.status_code, answer.json()["name"]) == (201, "lenet")


def test_the_same_bytes_are_the_same_model(client, leftovers, rows):
    first = upload(client, mlp_bytes(), name="one")
    again = upload(client, mlp_bytes(), name="two")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert (rows(), len(leftovers())) == (1, 1)


def with_features() -> bytes:
    """Return the bytes of the network with its hidden values as a second output."""
    model = mlp()
    hidden = model.graph.node[0].output[0]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(hidden, onnx.TensorProto.FLOAT, ["batch", 5])
    )
    return model.SerializeToString()


def test_other_outputs_of_the_same_file_are_another_model(client, rows):
    content = with_features()
    whole = upload(client, content)
    assert whole.status_code == 201
    first, second = (output["name"] for output in whole.json()["outputs"])
    chosen = upload(client, content, outputs=second)
    assert chosen.status_code == 201, chosen.text
    assert [output["name"] for output in chosen.json()["outputs"]] == [second]
    assert len(chosen.json()["layers"]) == 1
    assert chosen.json()["sha256"] == whole.json()["sha256"] == hashlib.sha256(content).hexdigest()
    assert upload(client, content, outputs=second).json()["id"] == chosen.json()["id"]
    assert upload(client, content).json()["id"] == whole.json()["id"]
    assert upload(client, content, outputs=first).status_code == 201
    assert rows() == 3
    downloaded = client.get(f"/v1/models/{chosen.json()['id']}/content")
    assert downloaded.content == content


@pytest.mark.parametrize("outputs", ["nothing", "", "y,\x00", "y,,"])
def test_outputs_that_are_not_there_are_refused(client, leftovers, outputs):
    answer = upload(client, mlp_bytes(), outputs=outputs)
    assert answer.status_code in (400, 422), answer.text
    assert leftovers() == []


def test_the_same_bytes_at_once_are_one_model(client, leftovers, rows):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(upload(client, mlp_bytes()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (rows(), len(leftovers())) == (1, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (PNG, "not_onnx"),
        (b"hello", "not_onnx"),
        (mlp_bytes()[:-40], "not_onnx"),
        (mlp(op="FancyActivation").SerializeToString(), "unsupported_operator"),
        (with_external_data(), "external_data_forbidden"),
        (mlp(weight=np.full((5, 4), np.nan, "float32")).SerializeToString(), "non_finite_weights"),
        (b"\x00" * 100_000, "not_onnx"),
    ],
    ids=["empty", "png", "text", "truncated", "operator", "external", "nan", "zeros"],
)
def test_a_file_that_cannot_be_used_is_refused_and_leaves_nothing(client, leftovers, rows, content, code):
    answer = upload(client, content)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["errors"]
    assert (rows(), leftovers()) == (0, [])


def test_every_unsupported_node_is_named(client):
    errors = upload(client, mlp(op="FancyActivation").SerializeToString()).json()["errors"]
    assert len(errors) == 2
    assert "/act_1" in str(errors)


def test_external_data_is_refused_with_the_export_call_to_use(client):
    assert "external_data=False" in upload(client, with_external_data()).text


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(client, leftovers, rows):
    pieces = iter([b"x" * 65536] * 65)
    answer = client.post("/v1/models", content=pieces, headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    answer = client.post("/v1/models", content=b"x", headers={**RAW, "Content-Length": str(2 * 1024**3)})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert (rows(), leftovers()) == (0, [])


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\x00b", "a\nb"])
def test_a_name_that_cannot_be_shown_is_refused(client, name, leftovers):
    answer = upload(client, mlp_bytes(), name=name)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/query/name"}
    assert leftovers() == []


def test_unknown_parameters_are_refused(client):
    assert upload(client, mlp_bytes(), nme="x").json()["errors"][0]["hint"].startswith("did you mean 'name'?")
    assert client.get("/v1/models?page=2").status_code == 422


def test_models_are_listed_newest_first_page_by_page(client):
    ids = [upload(client, mlp_bytes(seed)).json()["id"] for seed in range(5)]
    path, seen = "/v1/models?limit=2", []
    while path:
        answer = client.get(path)
        seen.append([item["id"] for item in answer.json()["items"]])
        link = answer.headers.get("link")
        assert (link is None) == (answer.json()["next_cursor"] is None)
        path = link and link.removeprefix("<").removesuffix('>; rel="next"')
    assert seen == [ids[:2:-1], ids[2:0:-1], ids[:1]]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=x"])
def test_a_page_that_cannot_be_had_is_refused(client, query):
    answer = client.get(f"/v1/models?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


def test_the_content_is_what_was_uploaded(client):
    content = mlp_bytes()
    model_id = upload(client, content, name="Netz ü").json()["id"]
    answer = client.get(f"/v1/models/{model_id}/content")
    assert answer.content == content
    assert "filename" in answer.headers["content-disposition"]
    etag = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"/v1/models/{model_id}/content", headers=etag).status_code == 304


def test_the_tag_changes_with_the_verification(client, database):
    model_id = upload(client, mlp_bytes()).json()["id"]
    etag = client.get(f"/v1/models/{model_id}").headers["etag"]
    held = {"If-None-Match": etag}
    assert client.get(f"/v1/models/{model_id}", headers=held).status_code == 304
    with database.transaction() as session:
        session.get(Model, model_id).verification_state = "passed"
    assert client.get(f"/v1/models/{model_id}", headers=held).json()["verification"]["state"] == "passed"


@pytest.mark.parametrize("model_id", ["x", "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10", "%00", "..%2f..%2fetc"])
def test_what_is_not_there_is_not_found(client, model_id):
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        answer = client.request(method, f"/v1/models/{model_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_deleted_model_is_gone_with_its_bytes_and_can_come_back(client, leftovers, rows):
    model_id = upload(client, mlp_bytes()).json()["id"]
    assert client.delete(f"/v1/models/{model_id}").status_code == 204
    assert client.get(f"/v1/models/{model_id}").status_code == 404
    assert (rows(), leftovers()) == (0, [])
    assert upload(client, mlp_bytes()).status_code == 201


@pytest.mark.parametrize("state", ["queued", "succeeded"])
def test_a_model_that_a_job_is_on_stays(client, database, leftovers, state):
    model_id = upload(client, mlp_bytes()).json()["id"]
    with database.transaction() as session:
        job = job_on(model_id, state=state)
        session.add(job)
    answer = client.delete(f"/v1/models/{model_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert job.id in answer.json()["errors"][0]["message"]
    assert client.get(f"/v1/models/{model_id}").status_code == 200
    assert len(leftovers()) == 1

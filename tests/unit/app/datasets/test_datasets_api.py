import hashlib
import io
import zipfile

import numpy as np
import pytest
from sqlalchemy import func, select

from app.db.session import Database
from app.db.tables import Dataset
from simulator.config.datasets import builtin_datasets
from tests.unit.app.jobs_of import job_on
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def database(settings):
    database = Database(settings.resolved_database_url)
    yield database
    database.dispose()


@pytest.fixture
def rows(database):
    def count() -> int:
        with database.reading() as session:
            return session.scalars(select(func.count()).select_from(Dataset)).one()

    return count


def upload(client, content, headers=RAW, **query):
    return client.post("/v1/datasets", params=query, content=content, headers=headers)


def unsplit(samples=20):
    arrays = dataset_arrays(train=samples)
    return npz(x=arrays["x_train"], y=arrays["y_train"])


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", b"\0" * 1000)
        archive.filelist[0].file_size = 1_500_000_000
    return buffer.getvalue()


def test_an_upload_is_answered_with_what_the_file_holds(client, leftovers):
    content = npz(**dataset_arrays())
    answer = upload(client, content, name="rings")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{body['id']}"
    assert (body["name"], body["origin"], body["format"]) == ("rings", "upload", "npz")
    assert body["sha256"] == hashlib.sha256(content).hexdigest()
    assert body["inputs"] == [{"name": "x", "dtype": "float32", "shape": [4]}]
    assert body["targets"] == {"dtype": "int64", "shape": [], "kind": "class"}
    assert (body["classes"], body["train_size"], body["test_size"]) == (3, 12, 6)
    assert client.get(f"/v1/datasets/{body['id']}").json() == body
    assert len(leftovers()) == 1


@pytest.mark.parametrize("media_type", ["application/x-npz", "application/zip"])
def test_npz_has_media_types_of_its_own(client, media_type):
    assert upload(client, npz(**dataset_arrays()), {"Content-Type": media_type}).status_code == 201


def test_a_form_upload_is_called_by_its_file(client):
    answer = client.post("/v1/datasets", files={"file": ("rings.npz", npz(**dataset_arrays()))})
    assert (answer.status_code, answer.json()["name"]) == (201, "rings")


def test_one_piece_is_split_as_asked_and_each_split_is_a_dataset(client, rows):
    content = unsplit()
    first = upload(client, content, test_fraction=0.25, seed=7)
    assert first.status_code == 201, first.text
    assert (first.json()["train_size"], first.json()["test_size"]) == (15, 5)
    assert first.json()["options"] == {"test_fraction": 0.25, "seed": 7}
    assert upload(client, content, test_fraction=0.25, seed=7).json()["id"] == first.json()["id"]
    assert upload(client, content, test_fraction=0.25, seed=8).json()["id"] != first.json()["id"]
    assert rows() == 2


def _with(**changes):
    return npz(**{**dataset_arrays(), **changes})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\x89PNG\r\n\x1a\n", "not_npz"),
        (npz(**dataset_arrays())[:-30], "not_npz"),
        (npz(a=np.zeros(3)), "missing_array"),
        (pickled(), "bad_dtype"),
        (_with(x_test=np.zeros((6, 5), "float32")), "feature_shape_mismatch"),
        (_with(y_train=np.zeros(11, int)), "length_mismatch"),
        (_with(x_train=np.full((12, 4), np.nan, "float32")), "non_finite_values"),
        (_with(y_train=np.array(["a"] * 12)), "bad_dtype"),
        (_with(y_train=np.full(12, -1)), "bad_labels"),
        (npz(x=np.zeros((0, 4)), y=np.zeros(0, int)), "empty_dataset"),
    ],
    ids=[
        "empty",
        "png",
        "truncated",
        "missing",
        "pickle",
        "shape",
        "length",
        "nan",
        "text",
        "labels",
        "no samples",
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_leaves_nothing(client, leftovers, rows, content, code):
    answer = upload(client, content)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert code in {answer.json()["code"], *(error["code"] for error in answer.json()["errors"])}
    assert (rows(), leftovers()) == (0, [])


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(client, leftovers):
    answer = upload(client, bomb())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert leftovers() == []


TABLE = b"a,b,label\n" + b"".join(b"%d,%d,%s\n" % (n, n * n, (b"cat", b"dog")[n % 2]) for n in range(10))


@pytest.mark.parametrize(
    ("headers", "files"),
    [
        ({"Content-Type": "text/csv"}, None),
        ({"Content-Type": "text/csv; charset=utf-8"}, None),
        ({}, {"file": ("a.CSV", TABLE)}),
    ],
)
def test_a_table_is_told_by_its_type_or_name(client, headers, files):
    content = None if files else TABLE
    answer = client.post("/v1/datasets?test_fraction=0.3", headers=headers, files=files, content=content)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["format"], body["class_names"]) == ("csv", ["cat", "dog"])
    assert (body["train_size"], body["test_size"], body["classes"]) == (7, 3, 2)


@pytest.mark.parametrize("media_type", ["application/vnd.apache.parquet", "application/vnd.safetensors"])
def test_bytes_that_are_not_what_their_type_says_are_refused(client, leftovers, media_type):
    answer = client.post("/v1/datasets", headers={"Content-Type": media_type}, content=b"a,b")
    assert answer.status_code == 422
    assert answer.json()["code"] in ("not_parquet", "not_safetensors")
    assert leftovers() == []


def test_declared_preprocessing_is_kept_and_told(client):
    images = np.zeros((6, 4, 5, 3), np.uint8)
    content = npz(x=images, y=np.arange(6) % 2)
    query = "test_fraction=0.5&layout=nhwc&mean=0.485,0.456,0.406&std=0.229,0.224,0.225"
    answer = client.post(f"/v1/datasets?{query}", content=content, headers=RAW)
    assert answer.status_code == 201, answer.text
    assert answer.json()["inputs"][0]["shape"] == [3, 4, 5]
    expected = {
        "test_fraction": 0.5,
        "layout": "nhwc",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    assert answer.json()["options"] == expected
    plain = client.post("/v1/datasets?test_fraction=0.5", content=content, headers=RAW)
    assert plain.status_code == 201
    assert plain.json()["id"] != answer.json()["id"]


@pytest.mark.parametrize(
    ("query", "status"),
    [("mean=red", 422), ("mean=1,,2", 422), ("layout=hwc", 422), ("std=0", 422), ("mean=1,2", 422)],
)
def test_preprocessing_that_cannot_be_done_is_refused(client, leftovers, query, status):
    content = npz(x=np.zeros((6, 3, 4, 4), np.uint8), y=np.arange(6) % 2)
    answer = client.post(f"/v1/datasets?test_fraction=0.5&{query}", content=content, headers=RAW)
    assert answer.status_code == status, answer.text
    assert leftovers() == []


@pytest.mark.parametrize(
    "query", ["test_fraction=0", "test_fraction=1", "test_fraction=nan", "seed=-1", "seed=1e30"]
)
def test_a_split_that_cannot_be_made_is_refused(client, query):
    answer = client.post(f"/v1/datasets?{query}", content=unsplit(), headers=RAW)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/query/{query.partition('=')[0]}"


def test_built_in_datasets_follow_the_uploaded_ones_page_by_page(client):
    ids = [upload(client, npz(**dataset_arrays(seed=seed))).json()["id"] for seed in range(3)]
    path, seen = "/v1/datasets?limit=2", []
    while path:
        answer = client.get(path)
        assert len(answer.json()["items"]) <= 2
        seen += [item["id"] for item in answer.json()["items"]]
        link = answer.headers.get("link")
        path = link and link.removeprefix("<").removesuffix('>; rel="next"')
    assert seen == ids[::-1] + sorted(builtin_datasets())


def test_a_built_in_dataset_is_described_and_stays(client):
    body = client.get("/v1/datasets/builtin:mnist10k").json()
    assert (body["origin"], body["train_size"], body["test_size"], body["classes"]) == (
        "builtin",
        8000,
        2000,
        10,
    )
    assert body["licence"]
    answer = client.delete("/v1/datasets/builtin:mnist10k")
    assert (answer.status_code, answer.json()["code"]) == (409, "builtin")


@pytest.mark.parametrize(
    "dataset_id", ["x", "builtin:", "builtin:nothing", "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10", "%00"]
)
def test_what_is_not_there_is_not_found(client, dataset_id):
    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/v1/datasets/{dataset_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_deleted_dataset_is_gone_with_its_bytes(client, leftovers, rows):
    dataset_id = upload(client, npz(**dataset_arrays())).json()["id"]
    assert client.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert (rows(), leftovers()) == (0, [])


def test_a_dataset_that_a_job_is_on_stays(client, database):
    dataset_id = upload(client, npz(**dataset_arrays())).json()["id"]
    model_id = client.post("/v1/models", content=mlp_bytes(), headers=RAW).json()["id"]
    with database.transaction() as session:
        session.add(job_on(model_id, dataset_id=dataset_id))
    answer = client.delete(f"/v1/datasets/{dataset_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")

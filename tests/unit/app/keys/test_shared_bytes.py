"""The same bytes of two projects: rows of their own, one blob, on each database."""

from __future__ import annotations

import pytest

from app.settings import Settings
from tests.unit.app.keys.conftest import bearer, new_key
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz

RAW = {"Content-Type": "application/octet-stream"}
UPLOADS = {"/v1/models": mlp_bytes, "/v1/datasets": lambda: npz(**dataset_arrays())}


@pytest.fixture
def client(database_url, tmp_path, make_client):
    settings = Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)
    with make_client(settings) as client:
        yield client


@pytest.fixture
def keys(client):
    database = client.app.state.services.database.all_projects
    found = [bearer(new_key(database, project=name)) for name in ("a", "b")]
    client.app.state.services.access.forget()
    return found


@pytest.mark.parametrize("path", UPLOADS)
def test_two_projects_have_rows_of_their_own_and_one_blob(client, keys, leftovers_in, tmp_path, path):
    content = UPLOADS[path]()
    first, second = (client.post(path, content=content, headers={**RAW, **key}) for key in keys)
    assert (first.status_code, second.status_code) == (201, 201)
    ids = [first.json()["id"], second.json()["id"]]
    assert ids[0] != ids[1]
    assert len(leftovers_in(tmp_path)) == 1
    assert client.post(path, content=content, headers={**RAW, **keys[1]}).status_code == 200
    assert client.get(f"{path}/{ids[1]}", headers=keys[0]).status_code == 404
    assert client.delete(f"{path}/{ids[1]}", headers=keys[0]).status_code == 404

    assert client.delete(f"{path}/{ids[0]}", headers=keys[0]).status_code == 204
    assert len(leftovers_in(tmp_path)) == 1  # the other project's
    if path == "/v1/models":
        assert client.get(f"{path}/{ids[1]}/content", headers=keys[1]).content == content
    assert client.delete(f"{path}/{ids[1]}", headers=keys[1]).status_code == 204
    assert leftovers_in(tmp_path) == []


def test_bytes_that_the_storage_has_lost_are_stored_anew(client, keys, leftovers_in, tmp_path):
    content = mlp_bytes()
    client.post("/v1/models", content=content, headers={**RAW, **keys[0]})
    [blob] = leftovers_in(tmp_path)
    (tmp_path / "blobs" / blob).unlink()
    model = client.post("/v1/models", content=content, headers={**RAW, **keys[1]}).json()
    assert client.get(f"/v1/models/{model['id']}/content", headers=keys[1]).content == content

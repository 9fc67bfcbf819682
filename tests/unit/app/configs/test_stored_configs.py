"""Stored configurations, and jobs that name them, on each database."""

import pytest

from app.db.ids import new_id
from app.db.session import Database
from app.db.tables import RpuConfig
from app.settings import Settings
from simulator.config import config_hash, preset, resolve
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz

PATH = "/v1/rpu-configs"
SPEC = {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.04}}}
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def client(database_url, tmp_path, make_client):
    with make_client(Settings(data_dir=tmp_path, database_url=database_url, redis_url=None)) as client:
        yield client


def store(client, config=SPEC, name="mine", **more):
    return client.post(PATH, json={"name": name, "config": config, **more})


def faults(answer):
    assert answer.status_code == 422, answer.text
    return {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]}


def test_a_configuration_is_stored_found_listed_and_deleted(client):
    created = store(client, description="for the tests")
    assert created.status_code == 201
    body = created.json()
    assert body["config"] == SPEC
    assert body["description"] == "for the tests"
    assert body["config_hash"] == config_hash(resolve(SPEC))
    assert body["effective"]["forward"]["out_noise"] == 0.04
    found = client.get(created.headers["location"])
    assert found.json() == body
    assert found.headers["etag"] == created.headers["etag"]
    listed = client.get(PATH).json()["items"]
    assert listed == [{key: body[key] for key in ("id", "name", "description", "config_hash", "created_at")}]
    assert client.delete(created.headers["location"]).status_code == 204
    assert client.get(created.headers["location"]).status_code == 404
    assert client.delete(created.headers["location"]).status_code == 404


def test_what_a_client_holds_is_not_sent_again(client):
    created = store(client)
    headers = {"If-None-Match": created.headers["etag"]}
    assert client.get(created.headers["location"], headers=headers).status_code == 304


def test_the_list_comes_in_pages_newest_first(client):
    names = [store(client, name=f"config {number}").json()["name"] for number in range(5)]
    first = client.get(PATH, params={"limit": 3})
    second = client.get(first.links["next"]["url"])
    found = [item["name"] for page in (first, second) for item in page.json()["items"]]
    assert found == names[::-1]
    assert second.json()["next_cursor"] is None


def test_a_repeated_request_stores_one(client):
    send = [
        client.post(PATH, json={"name": "a", "config": {}}, headers={"Idempotency-Key": "k"}) for _ in "ab"
    ]
    assert send[0].content == send[1].content
    assert len(client.get(PATH).json()["items"]) == 1


def test_all_faults_are_told_at_once_where_they_are(client):
    answer = client.post(
        PATH,
        json={
            "name": "",
            "config": {"forward": {"out_noize": 1}, "noise_model": {"type": "PCM"}},
            "nam": 1,
        },
    )
    assert set(faults(answer)) == {"/name", "/nam"}
    found = faults(store(client, {"forward": {"out_noize": 1}, "noise_model": {"type": "PCM"}}))
    assert found == {"/config/forward/out_noize": "unknown_field", "/config/noise_model": "unknown_type"}


def test_a_stored_configuration_is_not_made_from_another(client):
    config_id = store(client).json()["id"]
    assert faults(store(client, {"stored": config_id})) == {"/config/stored": "stored_reference"}


def test_warnings_point_into_the_configuration(client):
    body = store(client, {"forward": {"ir_drop_g_ratio": 1000.0}}).json()
    assert {warning["pointer"] for warning in body["warnings"]} == {
        "/config/forward/ir_drop_g_ratio",
        "/config/forward/out_noise",
    }
    assert client.get(f"{PATH}/{body['id']}").json() == body


def test_a_stored_configuration_is_validated_with_overrides(client):
    config_id = store(client).json()["id"]
    body = client.post(
        f"{PATH}/validate", json={"stored": config_id, "overrides": {"noise_model": {"drift_scale": 2.0}}}
    ).json()
    assert body["effective"]["forward"]["out_noise"] == 0.04
    assert body["effective"]["noise_model"]["drift_scale"] == 2.0


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"stored": new_id()}, "/stored", "unknown_configuration"),
        ({"stored": "x"}, "/stored", "unknown_configuration"),
        ({"stored": 3}, "/stored", "string_type"),
        ({"overrides": {"forward": {"out_noise": -1}}}, "/overrides/forward/out_noise", "greater_than_equal"),
        ({"overrides": 3}, "/overrides", "dict_type"),
        ({"preset": "PCMExamplePreset"}, "/preset", "unknown_field"),
    ],
)
def test_a_wrong_reference_is_a_fault_at_its_place(client, change, pointer, code):
    spec = {"stored": store(client).json()["id"], **change}
    assert faults(client.post(f"{PATH}/validate", json=spec)) == {pointer: code}


def test_overrides_see_what_was_set_and_what_was_left_to_the_defaults(client):
    config_id = store(client, {"noise_model": {"type": "HermesNoiseModel"}}).json()["id"]
    spec = {"stored": config_id, "overrides": {"noise_model": {"num_devices": 1}}}
    model = client.post(f"{PATH}/validate", json=spec).json()["effective"]["noise_model"]
    assert (model["g_max"], model["t_0"]) == (10.35, 200.0)


def test_a_stored_configuration_means_what_it_meant_when_it_was_stored(client, database_url):
    config_id = store(client).json()["id"]
    database = Database(database_url)
    with database.transaction() as session:  # as if the preset had become another one since
        session.get(RpuConfig, config_id).spec = {"preset": "FloatingPointPreset"}
    database.dispose()
    body = client.post(f"{PATH}/validate", json={"stored": config_id}).json()
    assert body["config_hash"] == config_hash(resolve(SPEC)) != config_hash(preset("FloatingPointPreset"))


@pytest.fixture
def job(client):
    model = client.post("/v1/models", content=mlp_bytes(), headers=RAW).json()["id"]
    dataset = client.post("/v1/datasets", content=npz(**dataset_arrays()), headers=RAW).json()["id"]
    evaluate = {"t_inference": [1], "repeats": 1, "variants": ["direct"]}
    return {"model": model, "dataset": dataset, "evaluate": evaluate}


def test_a_job_has_its_own_copy_of_a_stored_configuration(client, job):
    config_id = store(client).json()["id"]
    reference = {"stored": config_id, "overrides": {"forward": {"w_noise": 0.03}}}
    created = client.post("/v1/jobs", json={**job, "rpu_config": reference})
    assert created.status_code == 202, created.text
    assert client.delete(f"{PATH}/{config_id}").status_code == 204
    found = client.get(created.headers["location"]).json()
    assert found["effective_config"]["forward"]["out_noise"] == 0.04
    assert found["effective_config"]["forward"]["w_noise"] == 0.03
    assert found["spec"]["rpu_config"] == reference
    assert found["config_hash"] == config_hash(
        resolve({**SPEC, "overrides": {"forward": {"out_noise": 0.04, "w_noise": 0.03}}})
    )


def test_faults_of_a_job_and_of_its_stored_configuration_are_told_at_once(client, job):
    reference = {"stored": new_id()}
    answer = client.post("/v1/jobs", json={**job, "dataset": "builtin:x", "rpu_config": reference})
    assert set(faults(answer)) == {"/dataset", "/rpu_config/stored"}
    reference = {"stored": store(client).json()["id"], "overrides": {"forward": {"out_noize": 1}}}
    answer = client.post("/v1/jobs", json={**job, "rpu_config": reference})
    assert set(faults(answer)) == {"/rpu_config/overrides/forward/out_noize"}
    answer = client.post("/v1/jobs", json={**job, "rpu_config": {"stored": 1, "overides": {}}})
    assert set(faults(answer)) == {"/rpu_config/stored", "/rpu_config/overides"}

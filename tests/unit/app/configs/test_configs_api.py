import difflib

import pytest

from simulator.config import PRESETS, InferenceRPUConfig, config_hash, effective


def faults(response):
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return {error["pointer"]: error for error in response.json()["errors"]}


def validate(client, spec):
    return client.post("/v1/rpu-configs/validate", json=spec)


def test_an_empty_configuration_is_all_defaults(client):
    body = validate(client, {}).json()
    assert body["effective"] == effective(InferenceRPUConfig())
    assert body["config_hash"] == config_hash(InferenceRPUConfig())
    assert [warning["pointer"] for warning in body["warnings"]] == ["/forward/out_noise"]


def test_an_effective_configuration_means_the_same_when_sent_back(client):
    first = validate(
        client, {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_bound": "inf"}}}
    ).json()
    assert validate(client, first["effective"]).json()["config_hash"] == first["config_hash"]


def test_all_faults_are_told_at_once_with_pointers_and_hints(client):
    found = faults(
        validate(
            client,
            {
                "forward": {"out_noize": 0.04, "w_noise_type": "AdditiveConstnt", "inp_res": -1e39},
                "noise_model": {"type": "PCMLikeNoiseModel", "g_max": 0},
            },
        )
    )
    assert set(found) == {
        "/forward/out_noize",
        "/forward/w_noise_type",
        "/forward/inp_res",
        "/noise_model/g_max",
    }
    assert found["/forward/out_noize"]["code"] == "unknown_field"
    assert found["/forward/out_noize"]["hint"] == "did you mean 'out_noise'?"
    assert found["/forward/w_noise_type"]["hint"] == "did you mean 'AdditiveConstant'?"
    assert found["/noise_model/g_max"]["code"] == "greater_than"


def test_faults_of_overrides_point_into_the_overrides(client):
    spec = {
        "preset": "PCMExamplePreset",
        "overrides": {"noise_model": {"g_mx": 1}, "modifier": {"std_dev": -1}},
    }
    assert set(faults(validate(client, spec))) == {
        "/overrides/noise_model/g_mx",
        "/overrides/modifier/std_dev",
    }


def test_an_unknown_preset_names_the_nearest(client):
    found = faults(validate(client, {"preset": "PCMExamplPreset"}))
    assert found["/preset"]["hint"].startswith("did you mean 'PCMExamplePreset'?")


def test_an_unknown_noise_model_lists_the_known_ones(client):
    found = faults(validate(client, {"noise_model": {"type": "PCM"}}))
    assert "PCMLikeNoiseModel" in found["/noise_model"]["hint"]


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"backward": {"out_noise": 0.5}}, "/backward/out_noise"),
        ({"preset": 3}, "/preset"),
        ({"forward": None}, "/forward"),
        ({"forward": [1]}, "/forward"),
        ({"noise_model": {"type": ["x"]}}, "/noise_model"),
        ({"noise_model": None}, "/noise_model"),
        ({"forward": {"out_noise": True}}, "/forward/out_noise"),
        ({"preset": "PCMExamplePreset", "overrides": 3}, "/overrides"),
    ],
)
def test_wrong_values_are_faults_at_their_place(client, spec, pointer):
    assert pointer in faults(validate(client, spec))


@pytest.mark.parametrize("body", [b"[]", b"null", b"7"])
def test_what_is_no_object_is_a_fault(client, body):
    answer = client.post(
        "/v1/rpu-configs/validate", content=body, headers={"Content-Type": "application/json"}
    )
    assert set(faults(answer)) == {""}


def test_every_preset_is_described_and_has_the_fields_of_the_schema(client):
    schema = client.get("/v1/rpu-configs/schema").json()
    presets = client.get("/v1/rpu-configs/presets").json()["items"]
    assert {preset["name"] for preset in presets} == set(PRESETS)
    for preset in presets:
        assert preset["description"]
        assert set(preset["effective"]) == set(schema["properties"])


@pytest.mark.parametrize("path", ["schema", "presets"])
def test_what_a_client_holds_is_not_sent_again(client, path):
    etag = client.get(f"/v1/rpu-configs/{path}").headers["etag"]
    for header in (etag, f'"other", W/{etag}', "*"):
        again = client.get(f"/v1/rpu-configs/{path}", headers={"If-None-Match": header})
        assert (again.status_code, again.content) == (304, b"")
        # `*` names no version, so it cannot tell that the client's was compressed
        assert again.headers["etag"] == (etag.replace("-gzip", "") if header == "*" else etag)
    assert client.get(f"/v1/rpu-configs/{path}", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("path", "wrap"),
    [
        ("/v1/rpu-configs/validate", lambda keys: keys),
        ("/v1/rpu-configs/validate", lambda keys: {"forward": keys}),
        ("/v1/jobs", lambda keys: keys),
        ("/v1/jobs", lambda keys: {"rpu_config": keys}),
    ],
)
def test_thousands_of_unknown_keys_cost_little_and_are_counted(client, monkeypatch, path, wrap):
    searched = []

    def search(*args, **options):
        searched.append(args)
        return close_matches(*args, **options)

    close_matches = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", search)
    answer = client.post(path, json=wrap({f"out_noise{number}": 1 for number in range(8000)}))
    assert len(searched) <= 20, "a search for the nearest name takes long"
    assert answer.status_code == 422
    faults = answer.json()["errors"]
    assert len(faults) <= 202
    assert any(fault["code"] == "more_errors" for fault in faults)
    assert "did you mean 'out_noise'" in answer.text or "known: " in answer.text


def test_thousands_of_unknown_parameters_are_counted(client):
    answer = client.get("/v1/jobs?" + "&".join(f"stat{number}=1" for number in range(3000)))
    assert [fault["message"] for fault in answer.json()["errors"] if fault["code"] == "more_errors"] == [
        "and 2980 more faults"
    ]

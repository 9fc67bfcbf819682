import json
from pathlib import Path

import pytest

PATH = "/v1/rpu-configs/import"
AIHWKIT = {
    "class": "InferenceRPUConfig",
    "forward": {"out_noise": 0.02, "ir_drop_g_ratio": 1e5},
    "update": {"desired_bl": 10},
    "noise_model": {
        "type": "PCMLikeNoiseModel",
        "g_converter": {"type": "DualPairConductanceConverter", "f_lst": [1.0, 3.0]},
    },
    "drift_compensation": None,
}


def test_an_import_answers_with_the_configuration_and_what_was_assumed(client):
    answer = client.post(PATH, json=AIHWKIT)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["dialect"] == "aihwkit"
    assert body["effective"]["forward"]["out_noise"] == 0.02
    assert body["effective"]["drift_compensation"] is None
    assert [(one["pointer"], one["code"]) for one in body["assumed"]] == [
        ("/update/desired_bl", "not_for_inference")
    ]
    assert [one["pointer"] for one in body["warnings"]] == ["/forward/ir_drop_g_ratio"]
    again = client.post("/v1/rpu-configs/validate", json=body["effective"])
    assert again.json()["config_hash"] == body["config_hash"]


def test_a_composer_dictionary_is_told_by_its_fields(client):
    body = client.post(PATH, json={"adc": 8, "dac": 8}).json()
    assert body["dialect"] == "composer"
    assert body["effective"]["forward"]["out_res"] == 1 / 254


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"class": "InferenceRPUConf", "forward": {"out_noize": 1}, "noise_model": {"type": "PCM"}},
            {
                "/class": "unknown_class",
                "/forward/out_noize": "unknown_field",
                "/noise_model": "unknown_type",
            },
        ),
        (
            {"noise_model_info": {"device_id": "flash"}, "adc": 1, "colour": 1},
            {"/noise_model_info/device_id": "enum", "/adc": "greater_than_equal", "/colour": "unknown_field"},
        ),
        (
            {
                "class": "InferenceRPUConfig",
                "pre_post": {"input_range": {"enable": True, "manage_output_clipping": True}},
            },
            {"/pre_post/input_range/manage_output_clipping": "not_yet_supported"},
        ),
    ],
)
def test_all_faults_are_told_at_once_with_pointers(client, spec, expected):
    answer = client.post(PATH, json=spec)
    assert answer.status_code == 422
    assert {fault["pointer"]: fault["code"] for fault in answer.json()["errors"]} == expected


def test_a_near_miss_has_a_hint(client):
    fault = client.post(PATH, json={"class": "InferenceRPUConf"}).json()["errors"][0]
    assert fault["hint"] == "did you mean 'InferenceRPUConfig'?"


def test_the_documented_configurations_are_read(client):
    page = (Path(__file__).parents[4] / "docs" / "rpu-configs.md").read_text()
    forms, foreign = [part.partition("```")[0] for part in page.split("```json\n")[1:]]
    inline, preset, _ = (json.loads(line) for line in forms.splitlines())
    for spec in (inline, preset):
        assert client.post("/v1/rpu-configs/validate", json=spec).status_code == 200
    imported = client.post(PATH, json=json.loads(foreign))
    assert (imported.status_code, imported.json()["assumed"]) == (200, [])

"""What newcomers get wrong: the answer names the fault and what to do about it."""

import io
import pickle
import zipfile

import pytest

from tests.unit.app.jobs.submissions import RAW, body
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz


@pytest.fixture
def job(client):
    return body(client)


def only(answer, status=422):
    assert answer.status_code == status, answer.text
    [fault] = answer.json()["errors"]
    return fault


def refused(client, job, **changes):
    return only(client.post("/v1/jobs", json={**job, **changes}))


def evaluate(job, **changes):
    return {**job["evaluate"], **changes}


def test_a_preset_by_its_name_alone(client, job):
    for name in ("PCMExamplePreset", "pcmexamplepreset", "PCMExample"):
        fault = refused(client, job, rpu_config=name)
        assert (fault["pointer"], fault["hint"]) == ("/rpu_config", 'write {"preset": "PCMExamplePreset"}')
    assert "HermesPreset" in refused(client, job, rpu_config="x")["hint"]


def test_a_list_without_items(client, job):
    fault = refused(client, job, evaluate=evaluate(job, t_inference=[]))
    assert fault["code"] == "too_short"
    assert fault["message"] == "this has to have at least 1 item, not 0"
    fault = refused(client, job, tags=[f"t{number}" for number in range(21)])
    assert fault["message"] == "this has to have at most 20 items, not 21"


def test_one_value_where_a_list_is_wanted(client, job):
    fault = refused(client, job, evaluate=evaluate(job, t_inference=3600))
    assert (fault["message"], fault["hint"]) == ("this has to be a list", "write [3600]")
    fault = refused(client, job, layers={"digital": "fc*"})
    assert (fault["pointer"], fault["hint"]) == ("/layers/digital", 'write ["fc*"]')


@pytest.mark.parametrize("name", ["outputs", "output"])
def test_an_output_chosen_in_the_job(client, job, name):
    fault = refused(client, job, **{name: ["y"]})
    assert (fault["pointer"], fault["code"]) == (f"/{name}", "unknown_field")
    assert "POST /v1/models?outputs=<name>" in fault["hint"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1 day", "86400"), ("2h", "7200"), ("90 s", "90"), ("1 year", "3.1536e+07"), ("5 min", "300")],
)
def test_a_time_in_words(client, job, text, seconds):
    fault = refused(client, job, evaluate=evaluate(job, t_inference=[text]))
    assert (fault["message"], fault["hint"]) == ("this has to be a number, in seconds", f"write {seconds}")


@pytest.mark.parametrize(("value", "hint"), [("25", "write 25, without quotes"), (25.0, "write 25")])
def test_a_whole_number_written_otherwise(client, job, value, hint):
    fault = refused(client, job, evaluate=evaluate(job, repeats=value))
    assert (fault["pointer"], fault["hint"]) == ("/evaluate/repeats", hint)


def test_no_seed_for_a_random_one(client, job):
    assert "choose a number" in refused(client, job, seed=None)["hint"]


@pytest.mark.parametrize(
    ("changes", "pointer", "place"),
    [
        ({"t_inference": [1]}, "/t_inference", "evaluate.t_inference"),
        ({"repeats": 3}, "/repeats", "evaluate.repeats"),
        ({"epochs": 3}, "/epochs", "finetune.epochs"),
        ({"finetune": {"epochs": 1, "lr": 0.1}}, "/finetune/lr", "optimizer.lr"),
        ({"finetune": {"epochs": 1, "momentum": 0.9}}, "/finetune/momentum", "optimizer.momentum"),
        ({"rpu_config": {"out_noise": 0.1}}, "/rpu_config/out_noise", "forward.out_noise"),
        ({"rpu_config": {"forward": {"g_max": 25}}}, "/rpu_config/forward/g_max", "noise_model.g_max"),
        ({"layers": {"seed": 1}}, "/layers/seed", "'seed' beside 'layers'"),
    ],
)
def test_a_field_of_another_place(client, job, changes, pointer, place):
    fault = refused(client, job, **changes)
    assert (fault["pointer"], fault["code"]) == (pointer, "unknown_field")
    assert place in fault["hint"]


def test_a_pattern_that_matches_nothing(client, job):
    fault = refused(client, job, layers={"digital": ["fc1x"]})
    assert (fault["pointer"], fault["code"]) == ("/layers/digital/0", "pattern_matches_nothing")
    assert fault["hint"] == "did you mean 'fc1'? Its layers are fc1, fc2"
    assert "Its layers are fc1, fc2" in refused(client, job, layers={"digital": ["zzz*"]})["hint"]


@pytest.mark.parametrize("device", ["gpu", "GPU", "cuda:0", "nvidia"])
def test_a_gpu_by_another_name(client, job, device):
    fault = refused(client, job, device=device)
    assert fault["pointer"] == "/device"
    assert "'cuda'" in fault["hint"]
    assert "'auto'" in fault["hint"]


@pytest.mark.parametrize("text", ["{'model': 'x'}", '{"dry": True}', '{"a": None}'])
def test_a_dictionary_as_python_writes_it(client, text):
    answer = client.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
    assert "json.dumps(body)" in only(answer, 400)["hint"]


def test_a_comma_too_much_and_comments(client):
    for text, word in (('{"a": 1,}', "comma"), ('{"a": 1} // b', "comments"), ('{# a\n"a": 1}', "comments")):
        answer = client.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"})
        assert word in only(answer, 400)["hint"], text


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/jobs/", "/v1/jobs"),
        ("/jobs", "/v1/jobs"),
        ("/v1/job", "/v1/jobs"),
        ("/models/", "/v1/models"),
        ("/v1/dataset", "/v1/datasets"),
        ("/v1/rpu_configs", "/v1/rpu-configs"),
        (
            "/jobs/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10/results",
            "/v1/jobs/0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10/results",
        ),
        ("/health/live", "/healthz/live"),
    ],
)
def test_a_path_that_is_nearly_right(client, path, meant):
    assert only(client.get(path), 404)["hint"] == f"did you mean {meant}?"
    assert only(client.post(path), 404)["hint"] == f"did you mean {meant}?"


def test_a_path_that_is_like_nothing_has_no_hint(client):
    assert client.get("/wp-login.php").json()["errors"] == []


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (archive(**{"archive__data.pkl": b"x", "archive__version": b"3"}), "PyTorch", "torch.onnx.export"),
        (pickle.dumps({"weight": 1}, protocol=2), "torch.save", "torch.onnx.export"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "Keras", "tf2onnx"),
        (b"\x18\0\0\0TFL3" + b"\0" * 100, "TensorFlow Lite", "tf2onnx"),
        ((60).to_bytes(8, "little") + b'{"w": {}}', "safetensors", "torch.onnx.export"),
        (b"<!doctype html><html>", "page of a download", ".onnx file"),
    ],
)
def test_a_network_in_another_format(client, content, what, remedy):
    fault = only(client.post("/v1/models", content=content, headers=RAW))
    assert fault["code"] == "not_onnx"
    assert what in fault["message"]
    assert remedy in fault["hint"]


def test_an_onnx_file_is_not_taken_for_another(client):
    assert client.post("/v1/models", content=mlp_bytes(3), headers=RAW).status_code == 201


def test_arrays_in_capitals(client):
    arrays = {name.replace("x_", "X_"): value for name, value in dataset_arrays().items()}
    answer = client.post("/v1/datasets", content=npz(**arrays), headers=RAW)
    hints = [fault.get("hint") for fault in answer.json()["errors"]]
    assert "call 'X_train' 'x_train'" in hints
    assert "call 'X_test' 'x_test'" in hints
    assert "there are: X_test, X_train, y_test, y_train" in answer.text


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("a,b,Label\n1,2,0\n3,4,1\n", "'a', 'b', 'Label'", "did you mean 'Label'? Call it 'label'"),
        ("a;b;y\n1;2;0\n3;4;1\n", "'a;b;y'", "separate them by commas"),
        ("1.5,2,0\n3,4,1\n5,6,0\n", "'1.5', '2', '0'", "no header"),
        ("a,b,c\n1,2,0\n3,4,1\n", "'a', 'b', 'c'", "name the target's column y"),
    ],
)
def test_a_table_without_a_target(client, text, found, remedy):
    answer = client.post("/v1/datasets?test_fraction=0.5", content=text, headers={"Content-Type": "text/csv"})
    fault = only(answer)
    assert found in fault["message"]
    assert remedy in fault["hint"]

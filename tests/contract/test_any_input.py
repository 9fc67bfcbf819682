"""Whatever JSON comes in, the answer is a documented status and every error a problem."""

import json
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.main import create_app
from app.settings import Settings

with warnings.catch_warnings():  # starlette would rather have another HTTP client than the product's own
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

JOB = {
    "model": "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10",
    "dataset": "builtin:digits",
    "rpu_config": {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.04}}},
    "layers": {
        "digital": ["fc"],
        "overrides": [{"match": "conv*", "rpu_config": {"modifier": {"std_dev": 0.1}}}],
    },
    "calibration": {"method": "CacheQuantile", "batches": 10},
    "finetune": {"epochs": 5, "batch_size": 64, "optimizer": {"type": "sgd", "lr": 0.05}},
    "evaluate": {
        "t_inference": [1, 3600],
        "repeats": 25,
        "batch_size": 256,
        "variants": ["digital", "direct"],
    },
    "task": "classification",
    "seed": 42,
    "priority": 0,
}
CONFIG = {
    "forward": {"inp_res": 0.1, "out_bound": "inf", "w_noise_type": "PCMRead"},
    "mapping": {"weight_scaling_omega": 1.0},
    "noise_model": {
        "type": "PCMLikeNoiseModel",
        "g_max": 25.0,
        "g_converter": {"type": "SinglePairConductanceConverter"},
    },
    "drift_compensation": {"type": "GlobalDriftCompensation"},
    "modifier": {"type": "AddNormal", "std_dev": 0.1},
}
COMPOSER = {
    "analog_info": {"adc": 9, "dac": 7, "output_noise_strength": 0.04},
    "noise_model_info": {"device_id": "pcm", "drift_scale": 1.0, "drift_compensation": True},
    "inference_repeats": 10,
}
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(
        ["", "inf", "NaN", "\0", "\ud800", "x" * 300, "PCMLikeNoiseModel", "builtin:mnist10k", 1e39, 1e308]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


@st.composite
def mutated(draw, original):
    """The original with something else in one or two places."""
    value = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(places(value))))
        if not path:
            return draw(ANYTHING)
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        if isinstance(parent, dict) and draw(st.booleans()):
            parent[draw(st.text(max_size=8))] = draw(ANYTHING)
        else:
            parent[path[-1]] = draw(ANYTHING)
    return value


@pytest.fixture(scope="module")
def service(tmp_path_factory, _migrated_sqlite):
    folder = tmp_path_factory.mktemp("service")
    (folder / "driftline.db").write_bytes(_migrated_sqlite)
    app = create_app(Settings(data_dir=folder, database_url=None, redis_url=None))
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        yield client


def check(service, path, value):
    answer = service.post(path, content=json.dumps(value), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["errors"]
        for fault in answer.json()["errors"]:
            assert fault["pointer"] == "" or fault["pointer"].startswith("/")
            assert fault["message"]
    json.loads(answer.content, parse_constant=lambda literal: pytest.fail(f"{literal} in the answer"))


_RUNS = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_RUNS
@given(value=mutated(CONFIG))
@pytest.mark.parametrize("path", ["/v1/rpu-configs/validate", "/v1/rpu-configs/import"])
def test_any_configuration_is_judged(service, path, value):
    check(service, path, value)


@_RUNS
@given(value=mutated(COMPOSER))
def test_any_composer_dictionary_is_judged(service, value):
    check(service, "/v1/rpu-configs/import", value)


@_RUNS
@given(value=mutated(JOB))
def test_any_job_is_judged(service, value):
    check(service, "/v1/jobs", value)


@_RUNS
@given(
    query=st.dictionaries(
        st.sampled_from(["limit", "cursor", "state", "tag", "x"]), st.text(max_size=20), max_size=3
    )
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/datasets", "/v1/jobs", "/v1/rpu-configs/presets"])
def test_any_query_is_judged(service, path, query):
    answer = service.get(path, params={key: value.encode("utf-8", "replace") for key, value in query.items()})
    assert answer.status_code in (200, 422), answer.text

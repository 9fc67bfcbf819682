"""`GET /v1/jobs/{id}/layers`."""

from __future__ import annotations

import hashlib
import json
from xml.etree import ElementTree as ET

import pytest

from app.db.tables import Artifact
from tests.unit.app.jobs.submissions import body, codes, database_of, submit


def layer(name):
    weights = {
        "limit": 1.25, "bins": 4, "target": [1, 2, 3, 4], "programmed": [4, 3, 2, 1],
        "programmed_mean": [-0.9, -0.2, 0.3, None], "programmed_std": [0.1, 0.1, 0.2, None],
        "drifted": [{"t_inference": 3600.0, "counts": [0, 5, 5, 0]}],
    }  # fmt: skip
    converter = {"limit": 1.5, "bins": 4, "counts": [0, 10, 10, 1]}
    return {
        "name": name, "utilisation": 0.5, "snr_db": 20.0, "weights": weights, "dac": converter, "adc": None,
        "tiles": [{"dac_clipped": 0.01, "adc_clipped": None}],
    }  # fmt: skip


@pytest.fixture
def job_id(client):
    job_id = submit(client, body(client))
    content = json.dumps(
        {"layers": [layer("conv <1>"), {**layer("fc"), "snr_db": "inf", "weights": None}]}
    ).encode()
    blobs = client.app.state.services.blobs
    path = blobs.path(f"jobs/{job_id}/conversion.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with database_of(client).transaction() as session:
        session.add(
            Artifact(
                job_id=job_id, name="conversion.json", media_type="application/json", size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(), blob_key=f"jobs/{job_id}/conversion.json",
            )
        )  # fmt: skip
    return job_id


def layers(client, job_id, **options):
    return client.get(f"/v1/jobs/{job_id}/layers", params=options)


def test_all_layers_or_one(client, job_id):
    assert [one["name"] for one in layers(client, job_id).json()["layers"]] == ["conv <1>", "fc"]
    assert layers(client, job_id, layer="fc").json()["snr_db"] == "inf"


@pytest.mark.parametrize("name", [None, "conv <1>", "fc"])
def test_pictures(client, job_id, name):
    options = {} if name is None else {"layer": name}
    assert ET.fromstring(layers(client, job_id, format="svg", **options).content).tag.endswith("svg")
    assert layers(client, job_id, format="png", **options).content.startswith(b"\x89PNG")


def test_an_unknown_layer_is_refused_with_those_that_there_are(client, job_id):
    answer = layers(client, job_id, layer="fcc")
    assert (answer.status_code, codes(answer)) == (422, {("/query/layer", "unknown_layer")})
    assert "did you mean 'fc'" in answer.json()["errors"][0]["hint"]


def test_a_job_that_has_not_described_its_layers_says_so(client):
    answer = layers(client, submit(client, body(client)))
    assert answer.status_code == 404
    assert "has not described" in answer.json()["detail"]

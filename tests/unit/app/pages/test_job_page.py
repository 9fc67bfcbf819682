"""The page of a job."""

from __future__ import annotations

import json

import pytest

from app.db.tables import Artifact, Worker
from app.db.types import utc_now
from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, database_of, put, submit

CONVERSION = {
    "variant": "direct", "samples": 64, "tiles": 1, "devices": 24, "utilisation": 0.5, "digital": {},
    "layers": [{
        "name": "fc", "kind": "AnalogLinear", "weight_shape": [3, 4], "devices": 24, "utilisation": 0.25,
        "path": "rows", "snr_db": 12.5,
        "tiles": [{"adc_clipped": 0.03, "dac_clipped": 0.0, "slowed_by": ["Dac"]}, {"adc_clipped": 0.01}],
        "weights": {
            "limit": 1.5, "bins": 4, "target": [0, 5, 5, 0], "programmed": [1, 4, 4, 1],
            "drifted": [{"t_inference": 3600.0, "counts": [0, 6, 4, 0]}],
        },
        "dac": {"limit": 1.25, "bins": 4, "counts": [1, 2, 2, 1]}, "adc": None,
    }],
}  # fmt: skip


def describe(client, job_id: str) -> None:
    """Store a conversion report of the job, as its worker would."""
    content = json.dumps(CONVERSION).encode()
    blobs = client.app.state.services.blobs
    path = blobs.path(f"jobs/{job_id}/conversion.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with database_of(client).transaction() as session:
        session.add(
            Artifact(
                job_id=job_id, name="conversion.json", media_type="application/json", size_bytes=len(content),
                sha256="0" * 64, blob_key=f"jobs/{job_id}/conversion.json",
            )
        )  # fmt: skip


def test_it_begins_with_the_words_of_the_summary(client, show, job_id):
    summary = client.get(f"/v1/jobs/{job_id}/summary").json()
    text = show(f"/jobs/{job_id}").text
    for sentence in summary["sentences"]:
        assert " ".join(sentence.split()) in text


def test_the_threshold_is_in_the_address(client, show, job_id):
    page = show(f"/jobs/{job_id}?accuracy=0.85")
    [field] = page.all("input", id="threshold")
    assert field["value"] == "85"
    words = client.get(f"/v1/jobs/{job_id}/summary?accuracy=0.85").json()["headline"]
    assert " ".join(words.split()) in page.text
    assert any("lifetime?accuracy=0.85" in one for one in page.addresses)


def test_a_threshold_that_is_none_is_told(show, job_id):
    assert "accuracy has to be from 0 to 1" in show(f"/jobs/{job_id}?accuracy=95", 422).text


def test_every_number_is_in_a_table(show, job_id):
    text = show(f"/jobs/{job_id}").text
    assert "Digital: 100.0 %" in text
    assert "1 s 100.0 % 100.0 to 100.0" in text
    assert "1 h 85.0 %" in text


def test_without_scripts_the_service_draws_the_curves(show, job_id):
    pictures = [one["src"] for one in show(f"/jobs/{job_id}").all("img", **{"class": "drawn"})]
    assert pictures[0].endswith(f"v1/jobs/{job_id}/results?format=svg")
    assert "lifetime?" in pictures[1]


def test_a_job_without_results_says_what_brings_them(client, show):
    text = show(f"/jobs/{submit(client, body(client))}").text
    assert "There is no result yet" in text
    assert "The threshold refers to the digital result, which the job does not have yet" in text
    assert "This job does no fine-tuning" in text
    assert "appear when the job has described its tiles" in text
    assert "More files appear as its work items end" in text


def test_a_waiting_job_says_why_and_how_many_are_ahead(client, show):
    first = submit(client, body(client, name="first"))
    second = submit(client, body(client, name="second", seed=1))
    assert "Next in the queue. No worker has reported lately" in show(f"/jobs/{first}").text
    assert "1 job ahead. No worker" in show(f"/jobs/{second}").text
    put(client, first, "running", progress_done=100, started_at=utc_now(), progressed_at=utc_now())
    with database_of(client).transaction() as session:
        session.add(
            Worker(id="w", hostname="h", pid=1, concurrency=1, started_at=utc_now(), heartbeat_at_s=4e9)
        )
    assert "All workers have other work items." in show(f"/jobs/{second}").text


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("out_of_memory", "smaller batch size"),
        ("worker_lost", "Retry"),
        ("of_tomorrow", "change what the message names"),
    ],
)
def test_a_failed_job_says_what_to_do(client, show, code, advice):
    job_id = submit(client, body(client))
    failure = {"code": code, "message": "it did not go well", "retryable": False}
    put(client, job_id, "failed", failure=failure, warnings=[{"pointer": "", "message": "a <b>warning</b>"}])
    text = show(f"/jobs/{job_id}").text
    assert f"The job failed: {code.replace('_', ' ')} It did not go well." in text
    assert advice in text
    assert "Warning. A <b>warning</b>." in text


@pytest.mark.parametrize(
    ("state", "can", "cannot"),
    [
        ("queued", {"cancel-dialog"}, {"delete-dialog", "extend-dialog"}),
        ("running", {"cancel-dialog"}, {"delete-dialog", "extend-dialog"}),
        ("succeeded", {"extend-dialog", "delete-dialog"}, {"cancel-dialog"}),
        ("failed", {"delete-dialog"}, {"cancel-dialog", "extend-dialog"}),
    ],
)
def test_it_offers_what_can_be_done_in_its_state(client, show, state, can, cannot):
    job_id = submit(client, body(client))
    put(client, job_id, state)
    page = show(f"/jobs/{job_id}")
    offered = {one["data-dialog"] for one in page.all("button") if "data-dialog" in one}
    assert can <= offered
    assert not cannot & offered
    assert bool(page.all("button", **{"data-act": "retry"})) == (state == "failed")
    assert page.all("a", href=f"../new?from={job_id}")


def test_layers_are_shown_with_what_was_found_on_tiles(client, show, job_id):
    [layer] = client.get(f"/v1/models/{client.get(f'/v1/jobs/{job_id}').json()['spec']['model']}").json()[
        "layers"
    ][:1]
    CONVERSION["layers"][0]["name"] = layer["name"]
    describe(client, job_id)
    page = show(f"/jobs/{job_id}")
    assert "12.5 dB" in page.text
    assert "3 %" in page.text  # of its worst tile
    assert "2 tiles, vectors, step by step" in page.text
    assert f"{layer['name']}, closely" in page.text
    assert len(page.all("svg", **{"class": "histogram"})) == 3  # weights twice, and the DAC
    link = next(one["href"] for one in page.all("a") if "data-swap" in one)
    assert link == f"?layer={layer['name']}#layer"


def test_the_configuration_is_what_differs_from_the_preset(client, show, job_id):
    assert "Exactly PCMExamplePreset" in show(f"/jobs/{job_id}").text
    config = {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.07}}}
    text = show(f"/jobs/{submit(client, body(client, rpu_config=config))}").text
    assert "What differs from PCMExamplePreset." in text
    assert "forward.out_noise 0.02 0.07" in text


def test_the_job_can_be_sent_again_from_elsewhere(client, show, job_id):
    page = show(f"/jobs/{job_id}")
    assert "from driftline import Driftline" in page.text
    start = page.text.index("JSON Copy as JSON") + len("JSON Copy as JSON")
    spec, _ = json.JSONDecoder().raw_decode(page.text[start:].strip())
    assert client.post("/v1/jobs?dry_run=true", json=spec).status_code == 200


def test_chips_of_which_one_is_not_finite_are_said_to_be_so(client, show):
    job_id = submit(client, body(client))
    add_baseline(client, job_id)
    add_cells(client, job_id, ("direct", 0, 1.0, None, None))
    assert show("/").all("a", href=f"./jobs/{job_id}")
    assert "not finite" in show(f"/jobs/{job_id}").text

"""`evaluate.maintenance`: what may be asked for, what the dry run says, and what results are taken over."""

from __future__ import annotations

from typing import Any

import pytest

from app.db.tables import Model
from tests.unit.app.jobs.submissions import (
    add_cells,
    add_model,
    body,
    codes,
    database_of,
    fault,
    put,
    submit,
)

DAY_S = 86400.0
COMPENSATED = {"preset": "PCMExamplePreset"}
CONV = {
    "name": "conv", "op": "Conv2d", "kind": "analog", "weight_shape": [3, 4], "groups": 1, "bias": False,
}  # fmt: skip


def served(client, *rules: dict[str, Any], times=(1, 3600, DAY_S), **changes: Any) -> dict[str, Any]:
    evaluate = {"t_inference": list(times), "repeats": 2, "variants": ["digital", "direct"]}
    job = body(client, rpu_config=COMPENSATED, **changes)
    return {**job, "evaluate": {**evaluate, "maintenance": list(rules)}}


def test_a_service_that_cannot_be_done_is_refused_with_what_to_do(client):
    rule = {"every": 3600, "do": ["compensate", "refresh_batch_norm", "calibrate_input_ranges"]}
    job = {**served(client, rule), "rpu_config": {"drift_compensation": None}}
    found = client.post("/v1/jobs", json=job)
    assert codes(found) == {
        ("/evaluate/maintenance/0/do/0", "no_drift_compensation"),
        ("/evaluate/maintenance/0/do/1", "no_batch_norm"),
        ("/evaluate/maintenance/0/do/2", "no_input_range"),
    }
    assert "dynamo=False" in fault(found, "/evaluate/maintenance/0/do/1")["hint"]


def test_a_folded_batch_normalisation_is_named_as_that(client):
    model = add_model(client, [CONV])
    with database_of(client).transaction() as session:
        row = session.get_one(Model, model)
        row.report = {**row.report, "warnings": {"batch_norm_folded": "it seems so"}}
    job = {**served(client, {"at": [1], "do": ["refresh_batch_norm"]}), "model": model}
    found = fault(client.post("/v1/jobs", json=job), "/evaluate/maintenance/0/do/0")
    assert "folded" in found["message"]
    assert "do_constant_folding=False" in found["hint"]


def test_batch_normalisation_of_the_model_can_be_refreshed(client):
    norm = {"name": "bn", "op": "BatchNorm2d", "kind": "digital", "weight_shape": [3]}
    model = add_model(client, [CONV, norm])
    job = {**served(client, {"at": [1], "do": ["refresh_batch_norm"]}), "model": model}
    found = client.post("/v1/jobs", params={"dry_run": True}, json=job)
    assert "no_batch_norm" not in found.text


def test_more_services_than_must_run_at_the_most_are_refused(client):
    rule = {"every": 1, "do": ["refresh_batch_norm", "calibrate_input_ranges"]}
    found = client.post("/v1/jobs", json=served(client, rule))
    assert ("/evaluate/maintenance", "too_many_services") in codes(found)
    often = served(client, {"every": 1, "do": ["compensate"]})
    assert client.post("/v1/jobs", params={"dry_run": True}, json=often).status_code == 200


@pytest.mark.parametrize(
    ("rule", "pointer", "code"),
    [
        ({"do": ["compensate"]}, "/evaluate/maintenance/0", "one_of"),
        ({"every": 1, "do": ["compensate"] * 2}, "/evaluate/maintenance/0/do", "repeated_value"),
        ({"evry": 1, "do": ["compensate"]}, "/evaluate/maintenance/0/evry", "unknown_field"),
    ],
)
def test_a_rule_that_says_nothing_clear_is_refused_where_it_is(client, rule, pointer, code):
    assert (pointer, code) in codes(client.post("/v1/jobs", json=served(client, rule)))


def test_a_dry_run_counts_the_services_that_must_run(client):
    job = served(client, {"every": 600, "do": ["compensate"]})
    found = client.post("/v1/jobs", params={"dry_run": True}, json=job).json()
    assert found["services"] == 2 * 2, "two chips before each of the last two times"
    plain = client.post(
        "/v1/jobs",
        params={"dry_run": True},
        json={**job, "evaluate": {**job["evaluate"], "maintenance": None}},
    )
    assert plain.json()["services"] == 0


def test_a_service_that_never_comes_is_warned_of(client):
    found = client.post(
        "/v1/jobs", params={"dry_run": True}, json=served(client, {"every": 1e6, "do": ["reprogram"]})
    ).json()
    assert ("/evaluate/maintenance/0", "no_effect") in {
        (one["pointer"], one["code"]) for one in found["warnings"]
    }


def test_chips_that_are_seen_right_after_services_alone_are_warned_of(client):
    def warned(times: list[float]) -> set[str]:
        job = served(client, {"every": DAY_S, "do": ["compensate"]}, times=times)
        found = client.post("/v1/jobs", params={"dry_run": True}, json=job).json()
        return {one["code"] for one in found["warnings"] if one["pointer"] == "/evaluate/maintenance"}

    assert warned([1, 10 * DAY_S]) == {"right_after_service"}
    assert warned([1, 10 * DAY_S - 1]) == set()


def test_cells_are_taken_over_from_jobs_with_the_same_schedule_alone(client):
    rule = {"every": 600, "do": ["compensate"]}
    job = served(client, rule)
    first = submit(client, job)
    add_cells(
        client, first, *(("direct", chip, t, 9, 1.0) for chip in range(2) for t in (1.0, 3600.0, DAY_S))
    )
    put(client, first, "succeeded")

    def cached(maintenance: Any) -> int:
        asked = {**job, "evaluate": {**job["evaluate"], "maintenance": maintenance}}
        answer = client.post("/v1/jobs", params={"dry_run": True}, json=asked)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["cached_cells"])

    assert cached([rule]) == cached([{**rule, "samples": 64}]) == 6
    assert cached(None) == cached([]) == cached([{**rule, "every": 601}]) == 0


def test_an_extension_keeps_the_schedule(client):
    rule = {"every": 600, "do": ["compensate"]}
    job_id = submit(client, served(client, rule))
    put(client, job_id, "succeeded")
    longer = client.post(f"/v1/jobs/{job_id}/extend", json={"repeats": 3}).json()
    [kept] = longer["spec"]["evaluate"]["maintenance"]
    assert (kept["every"], kept["do"]) == (600, ["compensate"])

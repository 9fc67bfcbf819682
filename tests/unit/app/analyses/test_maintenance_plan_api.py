"""A maintenance plan over HTTP and on pages: what may be asked, its rounds, and its answer."""

from __future__ import annotations

import csv
import io
from typing import Any

from app.db.tables import AnalysisRow, Job
from app.engine import kinds
from app.engine.kinds.analyses.plan import analysis_items
from simulator.config.analyses.maintenance_plan import intervals_s
from tests.unit.app.jobs.submissions import (
    add_baseline,
    add_cells,
    body,
    codes,
    database_of,
    put,
    submit,
)

HORIZON_S = 1e6
PLAN = {"type": "maintenance_plan", "accuracy": 0.8, "do": ["compensate", "reprogram"]}


def job_with(client, plan: dict[str, Any], **changes: Any) -> dict[str, Any]:
    evaluate = {"t_inference": [1, HORIZON_S], "repeats": 20, "variants": ["digital", "direct"]}
    config = {"preset": "PCMExamplePreset"}
    return body(client, **{"rpu_config": config, "evaluate": evaluate, "analyses": [plan], **changes})


def planned_settings(client, job_id: str) -> list[dict[str, Any]]:
    items = []
    with database_of(client).transaction() as session:
        for item in analysis_items(session, job_id):
            items += item.payload["settings"]
    return items


def run_rounds(client, job_id: str, longest_s: dict[str, float]) -> int:
    """Do what workers would: chips hold at intervals up to a length, else two of twenty do not."""
    rounds, done = 0, 0
    put(client, job_id, "running")
    while True:
        with database_of(client).transaction() as session:
            settings = [one for item in analysis_items(session, job_id) for one in item.payload["settings"]]
            for one in settings[done:]:
                where = one["coordinates"]
                fallen = 0 if where["interval_s"] <= longest_s[where["do"]] else 2
                for chip in range(20):
                    correct = 7 if chip < fallen else 9
                    session.add(
                        AnalysisRow(
                            job_id=job_id, analysis="maintenance_plan", setting=one["key"], variant="direct",
                            repeat=chip, t_inference=HORIZON_S, coordinates=where,
                            counts={"correct": correct, "total": 10, "loss_sum": 1.0}, metric=correct / 10,
                        )
                    )  # fmt: skip
            done = len(settings)
            job = session.get_one(Job, job_id)
            job.version += 1
            session.flush()
            more = kinds.next_round(session, job)
            for item in more:
                item.job_id = job_id
                session.add(item)
        if not more:
            return rounds
        rounds += 1


def finished(client, longest_s: dict[str, float], plan: dict[str, Any] = PLAN) -> str:
    job_id = submit(client, job_with(client, plan))
    add_baseline(client, job_id)
    add_cells(client, job_id, *(("direct", chip, t, 9, 1.0) for chip in range(20) for t in (1.0, HORIZON_S)))
    assert run_rounds(client, job_id, longest_s) <= 5
    put(client, job_id, "succeeded")
    return job_id


def answer(client, job_id: str, **query: str):
    found = client.get(f"/v1/jobs/{job_id}/analyses/maintenance_plan", params=query)
    assert found.status_code == 200, found.text
    return found


def test_a_plan_that_cannot_be_made_is_refused_with_all_faults(client):
    plan = {**PLAN, "horizon": 3600, "do": ["refresh_batch_norm", "calibrate_input_ranges", "compensate"]}
    job = job_with(client, plan, rpu_config={"drift_compensation": None})
    job["evaluate"]["repeats"] = 10
    assert codes(client.post("/v1/jobs", json=job)) == {
        ("/analyses/0/horizon", "invalid_value"),
        ("/analyses/0/repeats", "not_evaluated"),
        ("/analyses/0/do/0", "no_batch_norm"),
        ("/analyses/0/do/1", "no_input_range"),
        ("/analyses/0/do/2", "no_drift_compensation"),
    }


def test_times_two_targets_and_few_chips_are_refused(client):
    for change, code in (
        ({"t_inference": [1]}, "not_allowed"),
        ({"threshold": 0.9}, "one_threshold_only"),
        ({"repeats": 5}, "greater_than_equal"),
    ):
        found = client.post("/v1/jobs", json=job_with(client, {**PLAN, **change}))
        assert found.status_code == 422
        assert code in {one for _, one in codes(found)}, found.text


def test_each_kind_begins_in_the_middle_of_the_grid_and_goes_on_by_itself(client):
    job_id = submit(client, job_with(client, PLAN))
    first = planned_settings(client, job_id)
    middle = intervals_s(HORIZON_S)[9]
    assert [(one["coordinates"]["do"], one["coordinates"]["interval_s"]) for one in first] == [
        ("compensate", middle), ("reprogram", middle),
    ]  # fmt: skip


def test_a_finished_plan_has_the_longest_interval_of_each_kind(client):
    grid = intervals_s(HORIZON_S)
    found = answer(client, finished(client, {"compensate": grid[5], "reprogram": 1e9})).json()
    assert [(one["do"], one["longest_interval_s"], one["censored"]) for one in found["longest"]] == [
        ("compensate", grid[5], "none"), ("reprogram", None, "above"),
    ]  # fmt: skip
    assert found["longest"][0]["next_interval_s"] == grid[6]
    assert found["complete"] is True
    shares = {(row["do"], row["interval_s"]): row["share"] for row in found["rows"]}
    assert shares["compensate", grid[5]] == 1.0
    assert shares["compensate", grid[6]] == 0.9
    assert all(row["ci95"][0] <= row["share"] <= row["ci95"][1] for row in found["rows"])


def test_without_a_target_it_is_a_point_below_digital(client):
    plan = {"type": "maintenance_plan"}
    found = answer(client, finished(client, {"compensate": 0.0}, plan)).json()
    assert found["target"] == 0.99
    assert found["longest"][0]["censored"] == "below", "nine of ten are right"


def test_a_plan_is_a_table_and_a_picture(client):
    job_id = finished(client, {"compensate": 1e5, "reprogram": 1e9})
    rows = list(csv.DictReader(io.StringIO(answer(client, job_id, format="csv").text)))
    assert {row["do"] for row in rows} == {"compensate", "reprogram"}
    assert all(0 <= float(row["ci95_low"]) <= float(row["share"]) <= 1 for row in rows)
    assert answer(client, job_id, format="svg").text.startswith("<?xml")


def test_a_plan_that_has_just_begun_is_shown_as_such(client):
    job_id = submit(client, job_with(client, PLAN))
    found = answer(client, job_id).json()
    assert (found["rows"], found["complete"]) == ([], False)
    assert [one["censored"] for one in found["longest"]] == [None, None]


def test_a_dry_run_counts_every_pass_over_the_test_set(client):
    priced = client.post("/v1/jobs", params={"dry_run": True}, json=job_with(client, PLAN)).json()
    passes = [one["passes"] for one in planned_settings(client, submit(client, job_with(client, PLAN)))]
    assert priced["analysis_cells"] == 20 * sum(passes)


def test_what_earlier_jobs_evaluated_is_taken_over(client):
    job = job_with(client, PLAN)
    first = submit(client, job)
    add_baseline(client, first)
    run_rounds(client, first, {"compensate": 1e5, "reprogram": 1e9})
    put(client, first, "succeeded")
    second = submit(client, {**job, "analyses": [{**PLAN, "accuracy": 0.5}]})
    assert first in client.get(f"/v1/jobs/{second}").json()["cached_from"]

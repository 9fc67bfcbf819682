"""Chips in service on a real service: the same cells after a kill in the middle of a schedule."""

from __future__ import annotations

from typing import Any

from driftline import Driftline
from simulator.config.analyses.maintenance_plan import judged_s
from tests.waiting import until

from .conftest import MODEL, StartService, kill, runners_of

SERVICES = [
    {
        "every": 40000,
        "do": ["compensate", "refresh_batch_norm", "calibrate_input_ranges"],
        "samples": 200,
    },
    {"at": [100000], "do": ["reprogram"]},
]


def asked(model: str, maintenance: Any = SERVICES, **changes: Any) -> dict[str, Any]:
    overrides = {"forward": {"w_noise": 0.1}, "pre_post": {"input_range": {"enable": True}}}
    evaluate = {
        "t_inference": [1, 86400, 90000, 150000, 300000], "repeats": 4, "batch_size": 100, "max_samples": 200,
        "variants": ["digital", "direct"], "maintenance": maintenance,
    }  # fmt: skip
    rpu_config = {"preset": "PCMExamplePreset", "overrides": overrides}
    job = {
        "model": model,
        "dataset": "builtin:mnist10k",
        "rpu_config": rpu_config,
        "evaluate": evaluate,
        "seed": 7,
    }
    return {**job, **changes}


def cells(driftline: Driftline, job: Any) -> list[dict[str, Any]]:
    return sorted(driftline.results(job["id"], cells=True)["cells"], key=str)


def done(driftline: Driftline, job: Any) -> Any:
    job = driftline.wait(job["id"])
    assert job["state"] == "succeeded", job["failure"]
    return job


def test_a_job_that_is_killed_in_the_middle_of_its_schedule_has_the_same_cells(
    start_service: StartService,
) -> None:
    with start_service() as (service, driftline):
        model = driftline.upload_model(MODEL)["id"]
        whole = done(driftline, driftline.submit(asked(model)))
        expected = cells(driftline, whole)
        plain = cells(driftline, done(driftline, driftline.submit(asked(model, None))))
        bare = cells(driftline, done(driftline, driftline.submit(asked(model, []))))
        assert len({str(expected), str(plain), str(bare)}) == 3, "the schedule matters"

        worker = service.process_id("worker 0")
        killed = driftline.submit(asked(model, name="killed"), fresh=True)
        for before in (2, 7, 12):  # a runner that is between two items loses nothing by a kill
            until(lambda n=before: len(cells(driftline, killed)) >= n, "some cells")
            kill(until(lambda: runners_of(worker), "a runner")[0])
            until(lambda n=before: len(cells(driftline, killed)) > n + 1, "more cells")
            if driftline.job(killed["id"])["attempt"] == 2:
                break
        killed = done(driftline, killed)
        assert killed["attempt"] == 2, "no kill hit an item"
        assert cells(driftline, killed) == expected

        longer = done(driftline, driftline.extend(killed["id"], t_inference=[200000]))
        again = [cell for cell in cells(driftline, longer) if cell["t_inference"] != 200000]
        assert again == expected


def test_a_plan_that_is_killed_has_the_same_rows_and_they_are_those_of_jobs_with_its_schedules(
    start_service: StartService,
) -> None:
    evaluate = {
        "t_inference": [1, 30000], "repeats": 20, "batch_size": 50, "max_samples": 50,
        "variants": ["digital", "direct"], "maintenance": [],
    }  # fmt: skip
    plan = {"type": "maintenance_plan", "accuracy": 0.9, "chips": 0.5, "do": ["compensate"]}
    with start_service() as (service, driftline):
        model = driftline.upload_model(MODEL)["id"]
        plain = {**asked(model), "evaluate": evaluate}
        whole = done(driftline, driftline.submit({**plain, "analyses": [plan]}))
        expected = driftline.analysis(whole["id"], "maintenance_plan").to_dict()
        assert expected["complete"]
        assert expected["longest"][0]["censored"] is not None

        worker = service.process_id("worker 0")
        killed = driftline.submit({**plain, "analyses": [plan], "name": "killed"}, fresh=True)

        def rows() -> int:
            return int(driftline.analyses(killed["id"])[0]["done"])

        for before in (3, 12, 25, 45):
            until(lambda n=before: rows() >= n, "some rows")
            kill(until(lambda: runners_of(worker), "a runner")[0])
            until(lambda n=before: rows() > n + 1, "more rows")
            if driftline.job(killed["id"])["attempt"] == 2:
                break
        killed = done(driftline, killed)
        assert killed["attempt"] == 2, "no kill hit an item"
        found = driftline.analysis(killed["id"], "maintenance_plan").to_dict()
        assert {**found, "job": None} == {**expected, "job": None}

        row = expected["rows"][0]
        interval_s = row["interval_s"]
        times = judged_s(interval_s, 30000)
        served = {
            **evaluate, "t_inference": times, "maintenance": [{"every": interval_s, "do": ["compensate"]}]
        }  # fmt: skip
        same = done(driftline, driftline.submit({**plain, "evaluate": served}))
        worst: dict[int, float] = {}
        for cell in cells(driftline, same):
            worst[cell["repeat"]] = min(worst.get(cell["repeat"], 1.0), cell["correct"] / cell["total"])
        assert sum(value >= 0.9 for value in worst.values()) / 20 == row["share"]

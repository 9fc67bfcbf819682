"""Chips in service on a real service: the same cells after a kill in the middle of a schedule."""

from __future__ import annotations

from typing import Any

from driftline import Driftline
from tests.waiting import until

from .conftest import MODEL, StartService, kill, runners_of

SERVICES = [
    {"every": 40000, "do": ["compensate", "calibrate_input_ranges"], "samples": 200},
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

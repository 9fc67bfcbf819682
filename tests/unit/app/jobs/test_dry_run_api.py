"""`POST /v1/jobs?dry_run=true`: what a job would be."""

import time
from typing import Any

import pytest
from sqlalchemy import func, select

from app.db.tables import Job, Speed
from simulator.config.analyses.maintenance_plan import Search, intervals_s, judged_s
from simulator.config.maintenance import MaintenanceRule
from simulator.config.overrides import with_overrides
from simulator.config.services import planned
from tests.unit.app.jobs.submissions import add_cells, add_model, body, codes, database_of, put, submit

DAY_S = 86400.0
RATES = {"mac": 1e-9, "element": 1e-9}
MEASURED = {
    "evaluate": {"digital": RATES, "static": RATES, "dynamic": RATES},
    "train": {"digital": RATES, "static": RATES, "dynamic": RATES},
    "program_device": 1e-8,
    "call": {"evaluate": 1e-5, "train": 1e-5},
}


def dry_run(client, job):
    return client.post("/v1/jobs?dry_run=true", json=job)


def test_it_counts_tiles_devices_and_cells_and_makes_no_job(client):
    answer = dry_run(client, body(client)).json()
    assert answer["valid"] is True
    assert (answer["tiles"], answer["devices"], answer["cells"]) == (2, 2 * (5 * 4 + 3 * 5), 4)
    with database_of(client).reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_it_estimates_seconds_once_a_worker_has_measured_its_speed(client, settings):
    job = body(client)
    before = dry_run(client, job).json()
    assert before["estimated_seconds"] is None
    assert "speed_unknown" in {warning["code"] for warning in before["warnings"]}
    with database_of(client).transaction() as session:
        session.add(Speed(hostname="h", threads=settings.threads_per_item, revision=1, measured=MEASURED))
    assert dry_run(client, job).json()["estimated_seconds"] > 0


def test_training_is_estimated_with_its_own_configuration(client, settings):
    slow = {"mac": 1.0, "element": 1.0}
    measured = {**MEASURED, "train": {**MEASURED["train"], "dynamic": slow}}
    with database_of(client).transaction() as session:
        session.add(Speed(hostname="h", threads=settings.threads_per_item, revision=1, measured=measured))

    def seconds(**finetune: Any) -> float:
        job = body(client, finetune={"epochs": 2, **finetune}, rpu_config={"preset": "PCMExamplePreset"})
        job["evaluate"]["variants"] = ["hwa"]
        found: float = dry_run(client, job).json()["estimated_seconds"]
        return found

    perfect = {"forward": {"is_perfect": True}}  # its input scale is static, which trains faster here
    assert seconds(rpu_config=perfect) < seconds() / 10
    assert seconds(rpu_config={"forward": {"out_noise": 0.1}}) == seconds()


@pytest.mark.parametrize(
    ("maintenance", "analysis"),
    [
        (None, {"type": "maintenance_plan", "do": ["compensate"]}),
        (None, {"type": "maintenance_plan", "do": ["reprogram"]}),
        ([{"every": 40_000, "do": ["compensate"]}], {"type": "error_budget", "repeats": 20}),
    ],
    ids=["the plan's own", "reprogramming", "the job's, under the settings of another analysis"],
)
def test_services_in_analyses_are_estimated_too(client, settings, maintenance, analysis):
    nothing = {"mac": 0.0, "element": 0.0}
    measured = {
        "evaluate": dict.fromkeys(("digital", "static", "dynamic"), nothing),
        "train": dict.fromkeys(("digital", "static", "dynamic"), nothing),
        "program_device": 1.0,
        "call": {"evaluate": 0.0, "train": 0.0},
    }
    with database_of(client).transaction() as session:
        session.add(Speed(hostname="h", threads=settings.threads_per_item, revision=1, measured=measured))
    times_s = [1.0, DAY_S]
    job = body(client, rpu_config={"preset": "PCMExamplePreset"}, analyses=[analysis])
    job["evaluate"].update(t_inference=times_s, repeats=20, variants=["digital", "direct"])
    job["evaluate"]["maintenance"] = maintenance
    found = dry_run(client, job).json()
    if analysis["type"] == "maintenance_plan":
        interval_s = intervals_s(DAY_S)[Search().next]
        rule = {"every": interval_s, "do": analysis["do"]}
        rows, schedule, judged = 20, [rule], judged_s(interval_s, DAY_S)
    else:
        rows, schedule, judged = found["analysis_cells"], maintenance, times_s[-1:]
    own = planned(tuple(MaintenanceRule(**one) for one in maintenance or ()), times_s)
    in_analysis = planned(tuple(MaintenanceRule(**one) for one in schedule), judged)
    services = sum(20 * len(visit.services) for visit in own)
    services += sum(rows * len(visit.services) for visit in in_analysis)
    # Every cell and every chip of the job, every cell of an analysis twice, and every service.
    expected = found["cells"] + 20 + 2 * found["analysis_cells"] + services
    assert sum(len(visit.services) for visit in in_analysis) > 0
    assert int(found["estimated_seconds"] / found["devices"]) == expected


def test_it_reports_every_fault_at_once(client):
    job = body(client, model="nothing", dataset="builtin:nothing")
    job["evaluate"]["variants"] = ["hwa"]
    answer = dry_run(client, job)
    assert {("/model", "unknown_model"), ("/dataset", "unknown_dataset"), ("/finetune", "missing")} <= codes(
        answer
    )


def test_it_does_not_wait_for_a_writer_nor_make_writers_wait(client):
    job = body(client)
    with database_of(client).transaction() as session:
        session.scalar(select(func.count()).select_from(Job))  # takes SQLite's write lock
        started = time.monotonic()
        assert dry_run(client, job).status_code == 200
        assert time.monotonic() - started < 10  # a waiting writer is refused after 30 s


def test_layers_that_the_same_overrides_match_are_merged_once(client, monkeypatch):
    layers = [
        {"name": f"block{i}.fc", "op": "Linear", "kind": "analog", "weight_shape": [3, 4]}
        for i in range(6000)
    ]
    job = body(client, model=add_model(client, layers))
    job["layers"] = {
        "overrides": [
            {"match": f"block*{digit}.fc", "rpu_config": {"forward": {"out_noise": digit / 100}}}
            for digit in range(8)
        ]
    }
    merged = []

    def merge(*args, **options):
        merged.append(args)
        return with_overrides(*args, **options)

    monkeypatch.setattr("simulator.config.evaluation.with_overrides", merge)
    answer = dry_run(client, job)
    assert answer.json()["tiles"] == 6000
    assert 8 <= len(merged) < 100


def test_overrides_that_fit_alone_and_not_together_are_refused(client):
    job = body(client)
    job["layers"] = {
        "overrides": [
            {"match": "fc1", "rpu_config": {"noise_model": {"type": "ReRamCMONoiseModel"}}},
            {
                "match": "fc*",
                "rpu_config": {"noise_model": {"prog_coeff_reference": 1.0, "read_noise_scale": 0.5}},
            },
        ]
    }
    answer = dry_run(client, job)
    assert answer.status_code == 422
    assert all(pointer.startswith("/layers/overrides/1/") for pointer, _ in codes(answer)), answer.text


def test_overrides_that_combine_in_too_many_ways_are_refused_in_time(client):
    layers = [
        {"name": f"{i:012b}", "op": "Linear", "kind": "analog", "weight_shape": [3, 4]} for i in range(4096)
    ]
    job = body(client, model=add_model(client, layers))
    job["layers"] = {
        "overrides": [
            {"match": "?" * bit + "1" + "*", "rpu_config": {"forward": {"out_noise": 0.01 * bit}}}
            for bit in range(12)
        ]
    }
    answer = dry_run(client, job)
    assert {code for _, code in codes(answer)} == {"too_many_overrides"}


def test_what_earlier_jobs_have_is_not_estimated_at_its_full_price(client, settings):
    with database_of(client).transaction() as session:
        session.add(Speed(hostname="h", threads=settings.threads_per_item, revision=1, measured=MEASURED))
    job = body(client, finetune={"epochs": 2})
    job["evaluate"] = {**job["evaluate"], "variants": ["digital", "direct", "hwa"]}
    whole = dry_run(client, job).json()
    assert (whole["cells"], whole["cached_cells"]) == (8, 0)
    job_id = submit(client, job)
    put(client, job_id, "succeeded")
    add_cells(
        client, job_id, *((variant, 0, t, 9, 1.0) for variant in ("direct", "hwa") for t in (1.0, 3600.0))
    )
    rest = dry_run(client, job).json()
    assert (rest["cells"], rest["cached_cells"]) == (8, 4)
    assert 0 < rest["estimated_seconds"] < whole["estimated_seconds"]
    fresh = client.post("/v1/jobs?dry_run=true", json=job, headers={"Cache-Control": "no-cache"}).json()
    assert fresh["cached_cells"] == 0
    assert fresh["estimated_seconds"] == whole["estimated_seconds"]
    assert dry_run(client, {**job, "seed": 1}).json()["cached_cells"] == 0
    other = {**job, "rpu_config": {"noise_model": {"type": "ReRamWan2022NoiseModel"}}}
    retrained = {**other, "finetune": {"epochs": 2, "batch_size": 32}}
    on_other_chips, with_training = (dry_run(client, one).json() for one in (other, retrained))
    assert on_other_chips["cached_cells"] == 0
    assert on_other_chips["estimated_seconds"] < with_training["estimated_seconds"], "it is trained already"

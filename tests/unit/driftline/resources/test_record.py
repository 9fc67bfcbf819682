from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from driftline.resources.jobs import JobRecord
from driftline.resources.results import Results

JOB = {
    "id": "j1",
    "name": "digits",
    "state": "running",
    "progress": {"done": 1, "total": 4, "fraction": 0.25, "eta_seconds": None},
    "failure": None,
    "created_at": "2026-01-31T12:00:00Z",
    "finished_at": None,
}


def test_a_record_is_read_as_a_mapping_and_by_attributes():
    job = JobRecord(JOB)
    assert job["state"] == job.state == "running"
    assert {**job} == JOB
    assert job["progress"]["fraction"] == job.progress.fraction == 0.25
    assert job.created_at == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert job["created_at"] == "2026-01-31T12:00:00Z"
    assert job.failure is None
    assert not job.has_ended


def test_a_record_is_read_only():
    job = JobRecord(JOB)
    with pytest.raises(AttributeError, match="read-only"):
        job.state = "succeeded"
    with pytest.raises(TypeError):
        job["state"] = "succeeded"
    copy = job.to_dict()
    copy["progress"]["fraction"] = 1.0
    assert job.progress.fraction == 0.25


def test_a_field_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(AttributeError, match="a JobRecord has no 'stat'; did you mean 'state'"):
        _ = JobRecord(JOB).stat
    assert not hasattr(JobRecord(JOB), "_repr_png_")


def test_fields_of_later_services_are_there():
    assert JobRecord({**JOB, "study": "s1"}).study == "s1"


def test_completion_knows_the_fields():
    assert {"state", "progress", "has_ended"} <= set(dir(JobRecord(JOB)))


def test_records_say_what_they_are():
    assert repr(JobRecord(JOB)) == "<JobRecord j1 'digits' running 25%>"


def test_records_can_be_pickled():
    assert pickle.loads(pickle.dumps(JobRecord(JOB))) == JobRecord(JOB)  # noqa: S301


def results(**changes):
    point = {"t_inference": 3600.0, "repeats": 3, "mean": 0.95, "std": 0.01, "ci95": [0.94, 0.96], "p05": 0.94,
             "p95": 0.96, "min": 0.94, "max": 0.96}  # fmt: skip
    alone = {**dict.fromkeys(point), "t_inference": 1.0, "repeats": 1, "mean": 0.97}
    value = {
        "job": "j1", "complete": True, "task": "classification", "metric": "accuracy",
        "baseline": {"digital": {"accuracy": 0.98}},
        "series": [{"variant": "direct", "points": [alone, point]}],
    }  # fmt: skip
    return Results({**value, **changes})


def test_series_and_points_are_records():
    found = results()
    assert found.series[0].variant == "direct"
    assert found.series[0].points[1].mean == 0.95
    assert found["series"][0]["points"][1]["mean"] == 0.95


def test_points_become_a_table():
    table = results().to_pandas()
    assert list(table["t_inference"]) == [1.0, 3600.0]
    assert list(table["mean"]) == [0.97, 0.95]
    assert table["ci95_low"].isna().tolist() == [True, False]
    assert table["ci95_high"][1] == 0.96


def test_cells_become_a_table():
    cell = {"variant": "direct", "repeat": 0, "t_inference": 1.0, "correct": 95, "total": 100}
    table = results(cells=[cell, {**cell, "repeat": 1}]).to_pandas(cells=True)
    assert list(table["repeat"]) == [0, 1]
    with pytest.raises(ValueError, match="cells=True"):
        results().to_pandas(cells=True)


def test_results_become_a_picture():
    figure = results().plot(title="digits")
    assert figure.axes[0].has_data()
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook shows

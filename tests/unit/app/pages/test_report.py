"""`GET /v1/jobs/{id}/report`."""

from __future__ import annotations

import re

import pytest

from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, put, submit

HOSTILE = '<script>alert(1)</script> "quoted" & \u202eright to left'


@pytest.fixture
def job_id(client):
    job_id = submit(client, body(client, name=HOSTILE, rpu_config={"preset": "PCMExamplePreset"}))
    add_baseline(client, job_id)
    add_cells(client, job_id, *[("direct", chip, t, 9, 1.0) for t in (1.0, 3600.0) for chip in range(2)])
    put(client, job_id, "succeeded")
    return job_id


def test_a_report_is_one_file_that_asks_for_nothing_and_runs_nothing(client, job_id):
    answer = client.get(f"/v1/jobs/{job_id}/report")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; img-src data:")
    assert "<script" not in answer.text
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", answer.text)
    assert "url(" not in answer.text


def test_a_report_has_everything_of_a_job(client, job_id):
    text = client.get(f"/v1/jobs/{job_id}/report").text
    headline = client.get(f"/v1/jobs/{job_id}/summary").json()["headline"]
    assert headline in text
    for title in ("Accuracy over time", "How long chips hold", "Configuration", "Provenance", "Run it again"):
        assert title in text
    assert text.count("data:image/svg+xml;base64,") == 2
    assert "Exactly PCMExamplePreset." in text
    assert "&lt;script&gt;" in text


def test_a_threshold_may_be_given(client, job_id):
    assert (
        "How long chips hold 80.0 %" in client.get(f"/v1/jobs/{job_id}/report", params={"accuracy": 0.8}).text
    )
    assert client.get(f"/v1/jobs/{job_id}/report", params={"accuracy": 80}).status_code == 422


def test_a_job_without_results_has_a_report(client):
    job_id = submit(client, body(client))
    text = client.get(f"/v1/jobs/{job_id}/report").text
    assert "There is no result yet." in text


def test_the_report_is_listed_among_the_files(client, job_id):
    report = client.get(f"/v1/jobs/{job_id}/artifacts").json()["items"][-1]
    assert (report["name"], report["media_type"], report["sha256"]) == ("report.html", "text/html", None)
    assert client.get(report["url"]).text == client.get(f"/v1/jobs/{job_id}/report").text
    assert client.head(report["url"]).status_code == 200


def test_an_unknown_job_has_none(client):
    answer = client.get("/v1/jobs/01900000-0000-7000-8000-000000000000/report")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"

"""What pages say of the cost of an inference."""

from __future__ import annotations

import pytest

from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, put, submit
from tests.unit.app.pages.conftest import CELLS, HOSTILE

HERMES = {"profile": "HERMES14nm"}


@pytest.fixture
def priced_job(client):
    """A job that names hardware and has succeeded."""

    def make(profile="HERMES14nm", **changes):
        request = body(client, tags=["pcm"], hardware={"profile": profile}, **changes)
        # With nothing taken over from a job that differs in its hardware alone.
        job_id = client.post("/v1/jobs", json=request, headers={"Cache-Control": "no-cache"}).json()["id"]
        add_baseline(client, job_id)
        add_cells(client, job_id, *CELLS)
        put(client, job_id, "succeeded")
        return job_id

    return make


def test_a_job_without_hardware_says_what_would_bring_its_cost(show, job_id):
    page = show(f"/jobs/{job_id}")
    assert "This job names no hardware" in page.text
    assert '"hardware": {"profile": "Generic28nm"}' in page.text
    assert "?hardware=HERMES14nm#cost" in page.addresses


def test_a_job_without_hardware_can_be_seen_by_any_profile(show, job_id):
    page = show(f"/jobs/{job_id}?hardware=NeuRRAM130nm")
    assert "Estimates by the hardware profile NeuRRAM130nm, which the job itself does not name" in page.text
    assert "word lines" in page.text
    assert any(one.endswith("/cost?profile=NeuRRAM130nm&format=csv") for one in page.addresses)
    assert "there is" not in show(f"/jobs/{job_id}?hardware=nothing", 422).text


def test_a_job_with_hardware_shows_its_cost_with_bands(client, show, priced_job):
    job_id = priced_job()
    text = show(f"/jobs/{job_id}").text
    assert "Energy of an inference 26.8 nJ (17.9 to 40.2)" in text
    assert "Relu ×2" in text
    assert "programming all devices anew, not priced by this profile" in text
    assert "fc1" in text


def test_the_summary_says_what_an_inference_costs_with_its_band(client, priced_job):
    summary = client.get(f"/v1/jobs/{priced_job()}/summary").json()
    said = next(one for one in summary["sentences"] if "HERMES14nm" in one)
    assert "is estimated to cost 26.8 nJ (17.9 to 40.2)" in said
    assert summary["facts"]["cost"]["energy_j"]["nominal"] == pytest.approx(26.8e-9, rel=0.01)
    assert said not in summary["headline"]


def test_the_summary_of_a_job_without_hardware_says_nothing_of_costs(client, job_id):
    summary = client.get(f"/v1/jobs/{job_id}/summary").json()
    assert summary["facts"]["cost"] is None
    assert not any("inference" in one for one in summary["sentences"])


def test_the_report_has_a_section_and_a_picture(client, priced_job):
    report = client.get(f"/v1/jobs/{priced_job()}/report").text
    assert "Cost of an inference" in report
    assert "Energy of an inference by layer and by component" in report
    assert "26.8 nJ (17.9 to 40.2)" in report


def test_jobs_of_a_tag_are_shown_by_accuracy_and_energy(client, show, priced_job):
    first = priced_job("HERMES14nm", name="on PCM", seed=1)
    second = priced_job("HERMES14nmFourPhases", name="on PCM again", seed=2)
    page = show("/cost?tag=pcm")
    assert "on PCM" in page.text
    assert "on PCM again" in page.text
    assert any(one.endswith(f"jobs/{first}") for one in page.addresses)
    listed = client.get("/v1/cost", params={"tag": "pcm"}).json()
    assert [item["job"] for item in listed["items"]] == [second, first]
    assert [item["overlaps"] for item in listed["items"]] == [[], []]
    assert listed["items"][0]["t_inference"] == 3600


def test_jobs_whose_bands_overlap_have_no_order(client, show, priced_job):
    first, second = priced_job(seed=1), priced_job(seed=2)
    listed = client.get("/v1/cost", params={"tag": "pcm"}).json()
    assert [item["overlaps"] for item in listed["items"]] == [[first], [second]]
    page = show("/cost?tag=pcm")
    assert "No order by energy with" in page.text
    # Nor does a click put them into one: what is an estimate cannot be sorted by.
    assert len(page.all("th", **{"data-unsorted": ""})) == 5


def test_jobs_of_a_tag_come_as_a_table_and_as_a_picture(client, priced_job):
    job_id = priced_job(name=HOSTILE)
    table = client.get("/v1/cost", params={"tag": "pcm", "format": "csv"}).text
    assert table.splitlines()[0].startswith("job,name,profile,energy_j_low,energy_j,")
    assert job_id in table
    svg = client.get("/v1/cost", params={"tag": "pcm", "format": "svg"})
    assert b"energy of an inference" in svg.content


def test_jobs_without_hardware_or_result_are_counted_and_left_out(client, show, job_id, priced_job):
    submit(client, body(client, tags=["pcm"], hardware=HERMES, seed=5))
    assert "No job with this tag names hardware and has a result yet" in show("/cost?tag=pcm").text
    assert client.get("/v1/cost", params={"tag": "pcm"}).json()["left_out"] == 2
    priced_job(seed=1)
    assert "2 jobs of the tag without hardware" in show("/cost?tag=pcm").text


def test_names_that_mean_harm_are_shown_as_text(show, priced_job):
    priced_job(name=HOSTILE)
    page = show("/cost?tag=pcm")
    assert page.inline_scripts == []
    assert "<script>alert(1)</script>" in page.text

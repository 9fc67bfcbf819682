"""What a job's analyses have found, on its page and in its report."""

from __future__ import annotations

from simulator.config.analyses.maintenance_plan import intervals_s
from tests.unit.app.analyses.test_analyses_api import BUDGET, finished, job_with
from tests.unit.app.analyses.test_maintenance_plan_api import HORIZON_S
from tests.unit.app.analyses.test_maintenance_plan_api import finished as plan_finished


def test_a_job_without_analyses_says_what_would_bring_them(show, job_id):
    text = show(f"/jobs/{job_id}").text
    assert "What costs the accuracy" in text
    assert '"analyses": [{"type": "error_budget"}]' in text


def test_the_page_has_the_waterfall_and_the_numbers_of_a_budget(client, show):
    job_id = finished(client, BUDGET)
    page = show(f"/jobs/{job_id}")
    [drawing] = page.all("svg", **{"class": "waterfall"})
    assert "From digital to analog" in drawing["aria-label"]
    for words in ("output noise", "-35.00 points", "2 chips", "near chance"):
        assert words in page.text
    assert any("analyses/error_budget?format=csv" in one for one in page.addresses)


def test_a_budget_that_has_just_begun_is_shown_as_such(client, show):
    page = show(f"/jobs/{job_with(client, BUDGET)}")
    assert "queued, 0 % of its cells" in page.text
    assert page.all("svg", **{"class": "waterfall"}) == []


def test_the_report_has_the_picture_and_the_numbers(client, show):
    job_id = finished(client, BUDGET)
    report = client.get(f"/v1/jobs/{job_id}/report").text
    assert "Error budget; the table below has the numbers" in report
    assert "What each group of effects costs direct" in report


def test_the_page_and_the_report_say_how_far_apart_services_may_be(client, show):
    grid = intervals_s(HORIZON_S)
    job_id = plan_finished(client, {"compensate": grid[5], "reprogram": 1e9})
    page = show(f"/jobs/{job_id}")
    for words in ("Maintenance plan", "apart", "not needed within", "too few chips hold 80.0 %"):
        assert words in page.text
    report = client.get(f"/v1/jobs/{job_id}/report").text
    assert "just before every judged service" in report

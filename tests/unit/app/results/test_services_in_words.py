"""What is said of chips in service, and where: headline, lifetime, results, pictures."""

from __future__ import annotations

import pytest

from app.results.services import between_times, in_service
from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, put, submit

DAY_S, YEAR_S = 86400.0, 31536000.0
BARE = "; drift is not compensated"
RULES = [{"every": DAY_S, "do": ["compensate"]}, {"at": [1e6], "do": ["reprogram"]}]


def finished(client, maintenance, *, digital: bool = True) -> str:
    evaluate = {
        "t_inference": [1, DAY_S, YEAR_S], "repeats": 2, "variants": ["digital", "direct"],
        "maintenance": maintenance,
    }  # fmt: skip
    job_id = submit(client, body(client, rpu_config={"preset": "PCMExamplePreset"}, evaluate=evaluate))
    put(client, job_id, "succeeded")
    if digital:
        add_baseline(client, job_id)
    times = (1.0, DAY_S, YEAR_S)
    add_cells(client, job_id, *(("direct", chip, t, 9, 1.0) for chip in range(2) for t in times))
    return job_id


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (None, None),
        ([], "Nothing is done to chips after programming: drift is not compensated."),
        (
            [{"every": DAY_S, "at": None, "do": ["compensate", "refresh_batch_norm"]}],
            "In service: drift compensation read out and batch normalisation refreshed every day.",
        ),
        (
            [
                {"every": None, "at": [3600.0, DAY_S], "do": ["compensate"]},
                {"every": 2592000.0, "at": None, "do": ["compensate"]},
            ],
            "In service: drift compensation read out at 1 hour, 1 day and every month.",
        ),
        (
            [{"every": None, "at": [3600.0, DAY_S, YEAR_S, 2 * YEAR_S, 3 * YEAR_S], "do": ["reprogram"]}],
            f"In service: chips reprogrammed at 1 hour, 1 day, 1 year, and 2 more times{BARE}.",
        ),
    ],
)
def test_a_schedule_is_a_sentence(schedule, said):
    answer = {} if schedule is None else {"maintenance": schedule}
    assert in_service(answer) == said
    assert (between_times(answer) is None) == (not schedule)


def test_the_headline_says_what_was_done_to_chips(client):
    found = client.get(f"/v1/jobs/{finished(client, RULES)}/summary").json()
    said = "In service: drift compensation read out every day; chips reprogrammed at 12 days."
    assert said in found["headline"]
    assert any("just before one" in sentence for sentence in found["sentences"])
    plain = client.get(f"/v1/jobs/{finished(client, None, digital=False)}/summary").json()
    assert "service" not in " ".join(plain["sentences"])


def test_lifetime_and_results_have_the_schedule(client):
    job_id = finished(client, RULES)
    lifetime = client.get(f"/v1/jobs/{job_id}/lifetime").json()
    assert [rule["every"] for rule in lifetime["maintenance"]] == [DAY_S, None]
    assert "just before one" in lifetime["note"]
    results = client.get(f"/v1/jobs/{job_id}/results").json()
    assert [rule["do"] for rule in results["maintenance"]] == [["compensate"], ["reprogram"]]
    plain = finished(client, None, digital=False)
    assert "maintenance" not in client.get(f"/v1/jobs/{plain}/results").json()
    assert client.get(f"/v1/jobs/{plain}/lifetime?accuracy=0.5").json()["maintenance"] is None
    assert "maintenance" not in client.get(f"/v1/jobs/{plain}").json()["spec"]["evaluate"]


def test_a_picture_names_the_services(client):
    picture = client.get(f"/v1/jobs/{finished(client, RULES)}/results?format=svg").text
    for label in ("service: compensate", "service: reprogram"):
        assert label in picture


def test_two_jobs_that_differ_in_their_services_are_said_to(client):
    jobs = [finished(client, RULES), finished(client, None, digital=False)]
    found = client.get("/v1/compare", params={"job": jobs}).json()
    assert any(one["pointer"].startswith("/spec/evaluate/maintenance") for one in found["differences"])

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


def evaluated(*times_s):
    return {"series": [{"points": [{"t_inference": time_s} for time_s in times_s]}]}


def test_services_that_begin_after_the_last_evaluated_time_are_said_to_change_nothing():
    rules = [{"every": DAY_S, "at": None, "do": ["compensate"]}]
    late = [*rules, {"every": None, "at": [2 * YEAR_S, 3 * YEAR_S], "do": ["reprogram"]}]
    said = in_service({"maintenance": late, **evaluated(1.0, YEAR_S)})
    assert said.endswith(" What begins after the last evaluated time, 1 year, changes nothing here.")
    for answer in ({"maintenance": rules, **evaluated(1.0, YEAR_S)}, {"maintenance": late, "series": []}):
        assert "changes nothing" not in in_service(answer)


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
    answer = {} if schedule is None else {"maintenance": schedule, **evaluated(1.0, 3 * YEAR_S)}
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


@pytest.fixture
def mended(client) -> str:
    """A job of 20 chips that are compensated each day; half of them fall on the first day, and come back."""
    evaluate = {
        "t_inference": [1, DAY_S - 1, DAY_S], "repeats": 20, "variants": ["digital", "direct"],
        "maintenance": [{"every": DAY_S, "do": ["compensate"]}],
    }  # fmt: skip
    job_id = submit(client, body(client, rpu_config={"preset": "PCMExamplePreset"}, evaluate=evaluate))
    put(client, job_id, "succeeded")
    add_baseline(client, job_id)
    cells = [
        ("direct", chip, t, 8 if t == DAY_S - 1 and chip < 10 else 10, 1.0)
        for t in evaluate["t_inference"]
        for chip in range(20)
    ]
    add_cells(client, job_id, *cells)
    return job_id


def test_every_answer_tells_holding_from_being_good_again(client, mended):
    life = client.get(f"/v1/jobs/{mended}/lifetime?accuracy=0.9").json()
    [series] = life["series"]
    [back] = series["in_service"]["returns"]
    assert (series["yield"][-1]["share"], series["in_service"]["availability"][-1]["share"]) == (0.5, 1.0)
    assert (back["down"], back["back"]) == (10, 10)
    assert back["services"] == [{"time_s": DAY_S, "do": "compensate"}]

    summary = client.get(f"/v1/jobs/{mended}/summary?accuracy=0.9").json()
    said = "10 of 20 chips hold 90 % for a day. One day after programming, 20 of 20 are at or above 90 %, 10 of them again after a fall."
    assert said in summary["headline"]
    assert summary["facts"]["available"] == {
        "variant": "direct", "t_inference": DAY_S, "chips": 20, "again": 10, "of": 20,
    }  # fmt: skip
    back_in_words = "10 of 10 by 1 day, after drift compensation read out at 1 day"
    assert any(back_in_words in sentence for sentence in summary["sentences"])

    table = client.get(f"/v1/jobs/{mended}/lifetime?accuracy=0.9&format=csv").text.splitlines()
    last = dict(zip(table[0].split(","), table[-1].split(","), strict=True))
    assert (last["share"], last["available"]) == ("0.5", "1.0")
    assert (last["ci95_low"] < last["available_ci95_low"], last["available_ci95_adaptive_low"]) == (True, "")

    picture = client.get(f"/v1/jobs/{mended}/lifetime?accuracy=0.9&format=svg").text
    for label in ("not fallen yet", "good at the time"):
        assert label in picture

    for path in (f"/jobs/{mended}?accuracy=0.9", f"/v1/jobs/{mended}/report?accuracy=0.9"):
        shown = client.get(path, headers={"Accept": "text/html"}).text
        assert "10 of 10" in shown
        assert "95 % are good" in shown
        assert "drift compensation read out at 1 day" in shown


def test_without_services_no_answer_speaks_of_being_good_again(client):
    job_id = finished(client, None)
    assert client.get(f"/v1/jobs/{job_id}/lifetime").json()["series"][0]["in_service"] is None
    assert "available" not in client.get(f"/v1/jobs/{job_id}/lifetime?format=csv").text
    assert client.get(f"/v1/jobs/{job_id}/summary").json()["facts"]["available"] is None
    assert "are good" not in client.get(f"/jobs/{job_id}", headers={"Accept": "text/html"}).text
    picture = client.get(f"/v1/jobs/{job_id}/lifetime?format=svg").text
    assert "good at the time" not in picture


def test_a_picture_names_the_services(client):
    picture = client.get(f"/v1/jobs/{finished(client, RULES)}/results?format=svg").text
    for label in ("service: compensate", "service: reprogram"):
        assert label in picture


def test_two_jobs_that_differ_in_their_services_are_said_to(client):
    jobs = [finished(client, RULES), finished(client, None, digital=False)]
    found = client.get("/v1/compare", params={"job": jobs}).json()
    assert any(one["pointer"].startswith("/spec/evaluate/maintenance") for one in found["differences"])

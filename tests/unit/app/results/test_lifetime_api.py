"""`GET /v1/jobs/{id}/lifetime` and `/summary`."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, codes, put, submit


@pytest.fixture
def job_id(client):
    job_id = submit(client, body(client))
    add_baseline(client, job_id)
    cells = [("direct", chip, t, 10 - (t > 1) * (chip + 1), 1.0) for t in (1.0, 100.0) for chip in range(6)]
    add_cells(client, job_id, *cells)
    put(client, job_id, "succeeded")
    return job_id


def lifetime(client, job_id, **options):
    headers = options.pop("headers", {})
    return client.get(f"/v1/jobs/{job_id}/lifetime", params=options, headers=headers)


def test_a_lifetime_has_each_chips_crossing_their_median_and_the_yield(client, job_id):
    answer = lifetime(client, job_id, accuracy=0.85).json()
    assert (answer["job"], answer["threshold"], answer["complete"]) == (job_id, 0.85, True)
    [series] = answer["series"]
    assert series["chips"][0] == {"repeat": 0, "time_s": None, "censored": "above"}
    assert series["chips"][1]["time_s"] == pytest.approx(100**0.75)
    assert series["chips"][2]["time_s"] == pytest.approx(100**0.5)
    median = series["time_to_threshold_s"]
    assert median["censored"] == "none"
    assert median["median"] == pytest.approx((100**0.5 + 100 ** (1.5 / 4)) / 2)
    assert median["ci95"][1] is None
    assert [point["share"] for point in series["yield"] if point["t_inference"] in (1.0, 100.0)] == [
        1.0,
        pytest.approx(1 / 6),
    ]
    assert series["holds_95_percent_until_s"] is None
    assert "20" in series["reason"]


def test_the_default_is_one_point_below_digital(client, job_id):
    answer = lifetime(client, job_id).json()
    assert (answer["digital"], answer["threshold"]) == (1.0, 0.99)
    assert lifetime(client, job_id, drop=0.01).json()["threshold"] == 0.99
    assert lifetime(client, job_id, threshold=0.85).json() == lifetime(client, job_id, accuracy=0.85).json()


def test_every_form_says_the_same(client, job_id):
    [series] = lifetime(client, job_id).json()["series"]
    table = lifetime(client, job_id, format="csv")
    assert table.headers["content-type"].startswith("text/csv")
    assert len(table.text.splitlines()) == len(series["yield"]) + 1
    picture = lifetime(client, job_id, headers={"Accept": "image/svg+xml"})
    assert ET.fromstring(picture.content).tag.endswith("svg")
    assert lifetime(client, job_id, format="png").content.startswith(b"\x89PNG")
    assert lifetime(client, job_id, headers={"Accept": "text/html"}).status_code == 406


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"accuracy": 0.9, "drop": 0.1}, "one_threshold_only"),
        ({"accuracy": 95}, "out_of_range"),
        ({"drop": -0.1}, "out_of_range"),
        ({"threshold": "nan"}, "out_of_range"),
    ],
)
@pytest.mark.parametrize("path", ["lifetime", "summary"])
def test_a_threshold_that_makes_no_sense_is_refused(client, job_id, path, options, code):
    answer = client.get(f"/v1/jobs/{job_id}/{path}", params=options)
    assert answer.status_code == 422
    assert {found for _, found in codes(answer)} == {code}


@pytest.mark.parametrize(
    ("name", "example"), [("accuracy", "0.95 for 95 %"), ("drop", "0.02 for two points")]
)
def test_a_share_is_explained_by_an_example_of_its_own(client, job_id, name, example):
    (fault,) = lifetime(client, job_id, **{name: 95}).json()["errors"]
    assert fault["message"].endswith(example)


def test_without_a_digital_result_a_threshold_has_to_be_given(client):
    job_id = submit(client, body(client))
    answer = lifetime(client, job_id)
    assert (answer.status_code, codes(answer)) == (422, {("/query/threshold", "no_digital_result")})
    assert lifetime(client, job_id, accuracy=0.9).json()["series"] == []
    assert client.get(f"/v1/jobs/{job_id}/summary").json()["facts"]["threshold"] is None


def test_accuracy_is_no_threshold_of_an_error(client, job_id):
    put(
        client,
        job_id,
        "succeeded",
        spec={**client.get(f"/v1/jobs/{job_id}").json()["spec"], "task": "regression"},
    )
    answer = lifetime(client, job_id, accuracy=0.9)
    assert codes(answer) == {("/query/accuracy", "wrong_metric")}


def test_a_summary_says_it_in_words(client, job_id):
    answer = client.get(f"/v1/jobs/{job_id}/summary", params={"accuracy": 0.85}).json()
    assert answer["headline"].startswith("Digital 100.0 %. 1.7 minutes after programming 65.0 %")
    assert "Falls below 85 % after about" in answer["headline"]
    assert answer["sentences"][0] == "Digital 100.0 %."
    assert answer["facts"]["threshold"] == 0.85


@pytest.mark.parametrize("path", ["lifetime", "summary"])
def test_an_unchanged_answer_is_not_sent_again(client, job_id, path):
    tag = client.get(f"/v1/jobs/{job_id}/{path}").headers["etag"]
    held = {"If-None-Match": tag}
    assert client.get(f"/v1/jobs/{job_id}/{path}", headers=held).status_code == 304
    assert client.get(f"/v1/jobs/{job_id}/{path}?drop=0.2", headers=held).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/jobs/{}/lifetime", "/v1/jobs/{}/summary", "/v1/jobs/{}/report", "/jobs/{}"]
)
def test_a_job_of_an_older_version_of_the_service_is_read_too(client, job_id, path):
    spec = client.get(f"/v1/jobs/{job_id}").json()["spec"]
    put(client, job_id, "succeeded", spec={name: spec[name] for name in ("task", "model", "dataset")})
    assert client.get(path.format(job_id)).status_code == 200


@pytest.mark.parametrize("path", ["lifetime", "summary"])
def test_a_job_that_is_not_there_is_not_found(client, path):
    assert client.get(f"/v1/jobs/01900000-0000-7000-8000-000000000000/{path}").status_code == 404

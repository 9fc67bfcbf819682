"""`GET /v1/compare` in its forms."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, submit


@pytest.fixture
def jobs(client):
    found = []
    for name, right in (("first $x$ & <b>", 8), ("second", 9)):
        job_id = submit(client, body(client, name=name, seed=len(found)))
        add_baseline(client, job_id)
        add_cells(
            client, job_id, *[("direct", chip, t, right, 1.0) for chip in (0, 1) for t in (1.0, 3600.0)]
        )
        found.append(job_id)
    return found


def test_a_comparison_comes_as_a_picture_too(client, jobs):
    svg = client.get("/v1/compare", params={"job": jobs, "format": "svg"})
    assert svg.headers["content-type"].startswith("image/svg+xml")
    texts = [node.text or "" for node in ET.fromstring(svg.content).iter("{http://www.w3.org/2000/svg}text")]
    assert "first $x$ & <b>: direct" in texts
    assert "second: direct" in texts
    png = client.get("/v1/compare", params={"job": jobs}, headers={"Accept": "image/png"})
    assert png.content.startswith(b"\x89PNG")


def test_each_form_has_a_tag_of_its_own_that_stays(client, jobs):
    tags = set()
    for form in ("json", "svg", "png"):
        answer = client.get("/v1/compare", params={"job": jobs, "format": form})
        tags.add(answer.headers["etag"])
        held = {"If-None-Match": answer.headers["etag"]}
        assert (
            client.get("/v1/compare", params={"job": jobs, "format": form}, headers=held).status_code == 304
        )
    assert len(tags) == 3


def test_other_forms_are_not_acceptable(client, jobs):
    assert client.get("/v1/compare", params={"job": jobs}, headers={"Accept": "text/html"}).status_code == 406


def test_jobs_that_name_hardware_are_compared_by_cost_without_a_rank(client):
    model = body(client)["model"]

    def made(seed: int, **hardware: Any) -> str:
        asked = {"hardware": hardware} if hardware else {}
        return submit(client, body(client, model=model, seed=seed, **asked))

    base = client.get("/v1/hardware-profiles").json()["items"]
    charges = next(one for one in base if one["name"] == "HERMES14nm")["effective"]["energy"]
    dear = {"energy": {next(iter(charges)): {"price": {"value": 1.0, "unit": "mJ", "factor": 1.0}}}}
    first, same = made(1, profile="HERMES14nm"), made(2, profile="HERMES14nm")
    other, none = made(3, profile="HERMES14nm", overrides=dear), made(4)
    ids = [first, same, other, none]
    jobs = client.get("/v1/compare", params={"job": ids}).json()["jobs"]
    costs = [job["cost"] for job in jobs]
    assert [cost and cost["overlaps"] for cost in costs] == [[same], [first], [], None]
    assert costs[0]["energy_j"] == client.get(f"/v1/jobs/{first}/cost").json()["energy_j"]
    page = client.get("/compare", params={"job": ids}).text
    assert "Jobs whose bands overlap have no order" in page
    assert "Cost of an inference" not in client.get("/compare", params={"job": [none, made(5)]}).text

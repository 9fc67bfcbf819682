"""A few samples of a dataset, as JSON and as a picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from simulator.config.datasets import builtin_datasets
from tests.unit.app.networks import npz

RAW = {"Content-Type": "application/octet-stream"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", sorted(builtin_datasets()))
def test_built_in_datasets_have_samples(client, name):
    answer = client.get(f"/v1/datasets/{name}/samples", params={"n": 3})
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == 3
    picture = client.get(f"/v1/datasets/{name}/samples", headers={"Accept": "image/svg+xml"})
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert picture.headers["etag"] != answer.headers["etag"]
    ET.fromstring(picture.text)
    again = {"If-None-Match": picture.headers["etag"], "Accept": "image/svg+xml"}
    assert client.get(f"/v1/datasets/{name}/samples", headers=again).status_code == 304


def test_an_upload_is_looked_at_with_its_words(client):
    rows = "a,b,label\n1,2.5,<cat>\n3,4,dog\n5,6,<cat>\n7,8,dog\n9,1,<cat>\n"
    made = client.post("/v1/datasets", content=rows, headers={"Content-Type": "text/csv"}).json()
    items = client.get(f"/v1/datasets/{made['id']}/samples").json()["items"]
    assert items[0]["target"] in ("<cat>", "dog")
    svg = client.get(f"/v1/datasets/{made['id']}/samples?format=svg").text
    assert "&lt;cat&gt;" in svg
    page = client.get(f"/datasets/{made['id']}").text
    assert f"/{made['id']}/samples?format=svg" in page


def test_pictures_series_and_several_inputs_are_drawn(client):
    images = npz(x=np.zeros((6, 1, 12, 12), np.uint8), y=np.arange(6) % 2)
    series = npz(x=np.random.default_rng(1).random((6, 30, 2)), y=np.arange(6) % 2)
    found = []
    for content in (images, series):
        made = client.post("/v1/datasets", content=content, headers=RAW).json()
        found.append(ET.fromstring(client.get(f"/v1/datasets/{made['id']}/samples?format=svg&n=5").text))
    assert len(list(found[0].iter(f"{SVG}image"))) == 5
    assert len(list(found[1].iter(f"{SVG}polyline"))) == 10


def test_what_there_is_not_is_said(client):
    assert client.get("/v1/datasets/builtin:nothing/samples").status_code == 404
    assert client.get("/v1/datasets/builtin:digits/samples?n=9").status_code == 422
    refused = client.get("/v1/datasets/builtin:digits/samples", headers={"Accept": "image/png"})
    assert refused.status_code == 406

"""A service with jobs of every state, and pages of it as browsers ask for them."""

from __future__ import annotations

import pytest

from tests.unit.app.jobs.submissions import add_baseline, add_cells, body, put, submit
from tests.unit.app.pages.markup import Page

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
HOSTILE = "<script>alert(1)</script>\"'><b>مرحبا 🧪 " + "long_" * 20
CELLS = [("direct", chip, t, 10 - (t > 1) * (chip + 1), 1.0) for t in (1.0, 3600.0) for chip in range(2)]


@pytest.fixture
def job_id(client):
    """A job that has succeeded."""
    job_id = submit(
        client, body(client, name="Digits", tags=["pcm"], rpu_config={"preset": "PCMExamplePreset"})
    )
    add_baseline(client, job_id)
    add_cells(client, job_id, *CELLS)
    put(client, job_id, "succeeded")
    return job_id


@pytest.fixture
def show(client):
    """Return a page."""

    def page(path: str, status: int = 200) -> Page:
        answer = client.get(path, headers=BROWSER)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return Page(answer.text)

    return page


@pytest.fixture
def paths(client, job_id):
    """The address of every page, of each kind once."""
    job = client.get(f"/v1/jobs/{job_id}").json()["spec"]
    other = submit(client, body(client, name=HOSTILE, tags=[HOSTILE[:60]]))
    return [
        "/", f"/jobs/{job_id}", f"/jobs/{other}", "/compare", f"/compare?job={job_id}&job={other}", "/new",
        f"/new?from={job_id}", "/models", f"/models/{job['model']}", "/datasets", f"/datasets/{job['dataset']}",
        "/datasets/builtin:digits", "/configs", "/configs?show=HermesPreset&against=PCMExamplePreset", "/workers", "/access",
        "/docs", "/cost?tag=pcm", f"/jobs/{job_id}?hardware=ISAAC32nm",
    ]  # fmt: skip

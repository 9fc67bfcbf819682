"""Costs of models whose files leave sizes open, as the samples of a dataset fill them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.db.tables import Model, Speed
from tests.unit.app.jobs.submissions import RAW, body, codes, database_of, submit
from tests.unit.app.jobs.test_dry_run_api import MEASURED
from tests.unit.app.networks import npz
from tests.unit.simulator.onnx.graphs import image_network

HERMES = {"profile": "HERMES14nm"}
SIDE = 29


def upload(client, data: bytes) -> str:
    answer = client.post("/v1/models", content=data, headers=RAW)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def images(client, side: int = SIDE, channels: int = 3) -> str:
    x, y = np.zeros((6, channels, side, side), "float32"), np.arange(6) % 2
    content = npz(x_train=x, y_train=y, x_test=x, y_test=y)
    return str(client.post("/v1/datasets", content=content, headers=RAW).json()["id"])


@pytest.fixture
def job(client) -> dict[str, Any]:
    """A job on a network for images of any size."""
    return body(
        client, model=upload(client, image_network("h", "w")), dataset=images(client), hardware=HERMES
    )


@pytest.fixture
def looks(client, monkeypatch) -> list[tuple[str, ...]]:
    """The options of each look into a model with the sizes of samples."""
    inspector, found = client.app.state.services.inspector, []
    look = inspector.inspect

    async def counted(module, path, *options, **more):
        if any(one.startswith("--samples") for one in options):
            found.append(options)
        return await look(module, path, *options, **more)

    monkeypatch.setattr(inspector, "inspect", counted)
    return found


def assert_priced_for_samples(cost: dict[str, Any], fixed: dict[str, Any]) -> None:
    assert not any("size open" in one or "are open in the file" in one for one in cost["assumptions"])
    for name in ("energy_j", "latency_s", "macs", "tile_operations", "layers"):
        assert cost[name] == fixed[name], name


def test_a_job_and_its_dry_run_are_priced_for_the_datasets_samples(client, job):
    fixed = client.post(
        "/v1/cost", json={"model": upload(client, image_network(SIDE, SIDE)), "hardware": HERMES}
    ).json()
    assert fixed["tile_operations"] == 15 * 15 + 5 * 5 + 1
    dry = client.post("/v1/jobs?dry_run=true", json=job).json()
    assert_priced_for_samples(dry["cost"], fixed)
    job_id = submit(client, job)
    assert_priced_for_samples(client.get(f"/v1/jobs/{job_id}/cost").json(), fixed)
    other = client.get(f"/v1/jobs/{job_id}/cost?profile=ISAAC32nm").json()
    assert other["macs"] == fixed["macs"]


def test_a_cost_without_a_dataset_says_how_to_give_a_size_and_one_with_it_takes_it(client, job):
    asked = {"model": job["model"], "hardware": HERMES}
    open_cost = client.post("/v1/cost", json=asked).json()
    assert open_cost["tile_operations"] == 3, "one product is counted for each layer"
    assert any("name a dataset whose samples say it" in one for one in open_cost["assumptions"])
    fixed = client.post("/v1/cost", json={**asked, "model": upload(client, image_network(SIDE, SIDE))}).json()
    assert_priced_for_samples(
        client.post("/v1/cost", json={**asked, "dataset": job["dataset"]}).json(), fixed
    )


def test_a_dataset_that_is_not_there_or_does_not_fit_is_refused(client, job):
    asked = {"model": job["model"], "hardware": HERMES}
    assert codes(client.post("/v1/cost", json={**asked, "dataset": "builtin:nothing"})) == {
        ("/dataset", "unknown_dataset")
    }
    grey = client.post("/v1/cost", json={**asked, "dataset": images(client, channels=1)})
    assert codes(grey) == {("/dataset", "dataset_mismatch")}


def test_a_file_is_looked_at_once_for_each_shape_of_samples(client, job, looks):
    asked = {"model": job["model"], "hardware": HERMES, "dataset": job["dataset"]}
    for _ in range(2):
        client.post("/v1/jobs?dry_run=true", json=job)
        client.post("/v1/cost", json=asked)
    assert len(looks) == 1
    job_id = submit(client, job)
    client.app.state.services.sizes._found.clear()  # as after a start: what a job stored is known for good
    client.get(f"/v1/jobs/{job_id}/cost")
    client.post("/v1/cost", json=asked)
    assert len(looks) == 1
    client.post("/v1/cost", json={**asked, "dataset": images(client, 64)})
    assert [one[-1] for one in looks] == [f"--samples=[[3, {side}, {side}]]" for side in (SIDE, 64)]


def test_a_file_that_says_its_sizes_is_not_looked_at_again(client, looks):
    job = body(client, hardware=HERMES)
    client.post("/v1/jobs?dry_run=true", json=job)
    submit(client, job)
    assert looks == []


def test_a_model_whose_file_cannot_be_looked_at_is_priced_as_its_file_says(client, job):
    with database_of(client).transaction() as session:
        session.get_one(Model, job["model"]).blob_key = "models/gone"
    cost = client.post("/v1/jobs?dry_run=true", json=job).json()["cost"]
    assert any("size open" in one for one in cost["assumptions"])


def test_the_estimate_of_seconds_is_for_the_size_of_the_samples(client, job, settings):
    with database_of(client).transaction() as session:
        session.add(Speed(hostname="h", threads=settings.threads_per_item, revision=1, measured=MEASURED))

    def seconds(model: str) -> float:
        found: float = client.post("/v1/jobs?dry_run=true", json={**job, "model": model}).json()[
            "estimated_seconds"
        ]
        return found

    assert seconds(job["model"]) == seconds(upload(client, image_network(SIDE, SIDE)))

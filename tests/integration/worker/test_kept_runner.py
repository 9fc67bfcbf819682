"""Real items, once on one runner that is kept from item to item and once on a fresh runner each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.engine.items import claims
from app.settings import Settings
from tests.cases import FOLDER
from tests.unit.app.conftest import LOCAL, TestClient, create_app
from worker.supervision.handle import ZygoteHandle
from worker.supervision.supervisor import Outcome, Slot, Supervisor

EXAMPLES = Path(__file__).parents[3] / "examples"
MODIFIER = {"type": "AddNormal", "std_dev": 0.1}
EVERY_VARIANT = ["digital", "direct", "hwa", "control"]
CALIBRATED = {"preset": "StandardHWATrainingPreset", "overrides": {"modifier": MODIFIER}}
PCM = {"preset": "PCMExamplePreset", "overrides": {"modifier": MODIFIER}}
FILES = {  # those that do not name the job
    "finetuned.onnx", "analog_state.safetensors", "conductances.safetensors", "conversion.json",
}  # fmt: skip
# Model, data, RPU configuration: convolutions with calibrated ranges; a network whose end is changed to give
# logits; a recurrent one.
CASES = {
    "mnist": (EXAMPLES / "mnist_cnn.onnx", "builtin:mnist10k", CALIBRATED),
    "multi-label": (FOLDER / "multi-label-sigmoid.onnx", FOLDER / "multi-label.npz", PCM),
    "sequences": (FOLDER / "gru-partial-shape.onnx", FOLDER / "sequences.npz", CALIBRATED),
}


@pytest.fixture(scope="module")
def zygote() -> Iterator[ZygoteHandle]:
    zygote = ZygoteHandle()
    yield zygote
    zygote.close()


@pytest.fixture
def client(sqlite_url, tmp_path) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path, database_url=sqlite_url, redis_url=None, threads_per_item=1)
    with TestClient(create_app(settings), LOCAL) as client:
        yield client


def submit(client: TestClient, name: str) -> str:
    """Submit a job that takes nothing over from earlier ones."""
    model, data, config = CASES[name]
    raw = {"Content-Type": "application/octet-stream"}
    if isinstance(data, Path):
        data = client.post("/v1/datasets", content=data.read_bytes(), headers=raw).json()["id"]
    job = {
        "model": client.post("/v1/models", content=model.read_bytes(), headers=raw).json()["id"],
        "dataset": data,
        "rpu_config": config,
        "finetune": {"epochs": 2, "batch_size": 32, "max_samples": 128, "distillation": {"weight": 0.3}},
        "evaluate": {
            "t_inference": [1, 86400],
            "repeats": 2,
            "batch_size": 50,
            "max_samples": 100,
            "variants": EVERY_VARIANT,
        },
        "seed": 3,
    }
    answer = client.post("/v1/jobs", json=job, headers={"Cache-Control": "no-cache"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def carry_all(client: TestClient, slots: Iterator[Slot]) -> int:
    """Carry every item that waits, each in the next slot; return how many there were."""
    services = client.app.state.services
    for number, slot in enumerate(slots):
        with services.database.all_projects.transaction() as session:
            lease = claims.claim(session, owner="a worker", lease_s=60.0)
        if lease is None:
            return number
        assert slot.carry(lease) is Outcome.SUCCEEDED
    return 0


def found(client: TestClient, job_id: str) -> dict[str, Any]:
    """Return all that the job found, its files by their digest."""
    get = lambda path: client.get(f"/v1/jobs/{job_id}{path}").json()  # noqa: E731
    assert get("")["state"] == "succeeded", get("")["failure"]
    epochs = [{**one, "seconds": None, "finished_at": None} for one in get("/history")["epochs"]]
    results = {**get("/results?cells=true"), "job": None}
    files = {one["name"]: one["sha256"] for one in get("/artifacts")["items"] if one["name"] in FILES}
    return {"results": results, "epochs": epochs, "files": files}


def one_slot(supervisor: Supervisor) -> Iterator[Slot]:
    with supervisor.slot() as slot:
        while True:
            yield slot


def a_slot_each(supervisor: Supervisor) -> Iterator[Slot]:
    while True:
        with supervisor.slot() as slot:
            yield slot


@pytest.mark.parametrize("name", CASES)
def test_a_kept_runner_finds_bit_for_bit_what_fresh_ones_find(client, zygote, name):
    services = client.app.state.services
    supervisor = Supervisor(services.settings, services.database.all_projects, zygote)
    seen = []
    for slots in (one_slot(supervisor), a_slot_each(supervisor)):
        job_id = submit(client, name)
        assert carry_all(client, slots) > 8
        slots.close()
        seen.append(found(client, job_id))
    assert seen[0] == seen[1]
    assert len(seen[0]["results"]["cells"]) == 12
    assert set(seen[0]["files"]) == FILES

"""A model, a dataset and jobs on them, sent to the real application."""

from __future__ import annotations

from typing import Any

from app.db.ids import new_id
from app.db.session import Database
from app.db.tables import Artifact, Baseline, Cell, Job, Model, WorkItem
from app.engine.states import FINAL, ItemState, JobState
from tests.unit.app.networks import dataset_arrays, mlp_bytes, npz

RAW = {"Content-Type": "application/octet-stream"}


def body(client, **changes: Any) -> dict[str, Any]:
    """Return the body of a small job on an uploaded model and dataset."""
    model = client.post("/v1/models", content=mlp_bytes(), headers=RAW).json()["id"]
    dataset = client.post("/v1/datasets", content=npz(**dataset_arrays()), headers=RAW).json()["id"]
    evaluate = {"t_inference": [1, 3600], "repeats": 2, "variants": ["digital", "direct"]}
    return {"model": model, "dataset": dataset, "rpu_config": {}, "evaluate": evaluate, **changes}


def submit(client, job: dict[str, Any]) -> str:
    answer = client.post("/v1/jobs", json=job)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def database_of(client) -> Database:
    database: Database = client.app.state.services.database.all_projects
    return database


def put(client, job_id: str, state: str, **columns: Any) -> None:
    """Put a job into a state, as its workers would."""
    with database_of(client).transaction() as session:
        job = session.get_one(Job, job_id)
        for name, value in {"state": state, **columns}.items():
            setattr(job, name, value)
        if JobState(state) in FINAL:
            for item in session.query(WorkItem).where(WorkItem.job_id == job_id):
                item.state = ItemState.SUCCEEDED if state == JobState.SUCCEEDED else ItemState.CANCELLED


def add_cells(client, job_id: str, *cells: tuple[str, int, float, int | None, float | None]) -> None:
    """Store cells of ten samples: variant, repeat, time, right answers, sum of the loss."""
    with database_of(client).transaction() as session:
        for variant, repeat, t_inference, correct, loss_sum in cells:
            found = {"correct": correct, "total": 10, "loss_sum": loss_sum}
            counts = {name: value for name, value in found.items() if value is not None}
            metric = None if correct is None else correct / 10
            cell = Cell(job_id=job_id, variant=variant, repeat=repeat, t_inference=t_inference, counts=counts)
            cell.metric = metric
            session.add(cell)
        session.get_one(Job, job_id).results_version += 1


def add_description(client, job_id):
    """Give a job the files that describe its tiles."""
    stored = client.app.state.services.blobs.put(b"{}")
    with database_of(client).transaction() as session:
        for name in ("analog_state.safetensors", "conductances.safetensors", "conversion.json"):
            session.add(
                Artifact(
                    job_id=job_id, name=name, media_type="application/json", size_bytes=2,
                    sha256=stored.sha256, blob_key=stored.key,
                )
            )  # fmt: skip


def add_baseline(client, job_id: str, variant: str = "digital", correct: int = 10) -> None:
    with database_of(client).transaction() as session:
        session.add(
            Baseline(
                job_id=job_id, variant=variant, counts={"correct": correct, "total": 10, "loss_sum": 1.0}
            )
        )
        session.get_one(Job, job_id).results_version += 1


def add_model(client, layers: list[dict[str, Any]]) -> str:
    """Store a model that has the given layers, without a file; return its id."""
    report = {
        "opset": 20, "producer": "test", "parameters": 0, "layers": layers, "warnings": [],
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": ["batch", 3]}],
    }  # fmt: skip
    with database_of(client).transaction() as session:
        model = Model(
            name="m", sha256=new_id().replace("-", "") * 2, size_bytes=1, blob_key="models/m", report=report
        )
        session.add(model)
        session.flush()
        return model.id


def codes(answer) -> set[tuple[str, str]]:
    """Return (pointer, code) of every fault of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return {(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]}


def fault(answer, pointer: str) -> dict[str, Any]:
    """Return the one fault at a pointer."""
    assert answer.status_code == 422, answer.text
    [found] = [one for one in answer.json()["errors"] if one["pointer"] == pointer]
    return dict(found)

"""What a runner writes as it finds it, each write behind the lease's fence; results are with the kinds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db.blobs import StoredBlob
from app.db.tables import Artifact, Dataset, Job, JobBlob, Model, WorkItem
from app.engine.abilities import required
from app.engine.items.leases import Lease, hold, record_sign_of_life, set_progress
from app.engine.states import record, warn


def save_checkpoint(session: Session, lease: Lease, blob_key: str) -> None:
    """Record the blob that holds what the item made."""
    job, item = hold(session, lease)
    item.checkpoint = {"blob_key": blob_key}
    use_blob(session, job.id, f"checkpoint:{item.key}", blob_key)


def use_blob(session: Session, job_id: str, role: str, blob_key: str) -> str | None:
    """Record that a job uses a blob; return the key of the one it replaces if no job uses that any more."""
    use = session.get(JobBlob, (job_id, role))
    if use is None:
        session.add(JobBlob(job_id=job_id, role=role, blob_key=blob_key))
        return None
    before, use.blob_key = use.blob_key, blob_key
    session.flush()
    if before == blob_key:
        return None
    others = select(JobBlob.role).where(JobBlob.blob_key == before).limit(1)
    return before if session.scalars(others).first() is None else None


def save_sign_of_life(session: Session, lease: Lease) -> None:
    """Record that the item's runner is at work, where it counts nothing."""
    _, item = hold(session, lease)
    record_sign_of_life(item)


def save_progress(session: Session, lease: Lease, done: int) -> None:
    """Record the item's progress, in sample-forwards."""
    job, item = hold(session, lease)
    set_progress(job, item, min(done, item.progress_total))


def save_warning(session: Session, lease: Lease, *, code: str, message: str) -> None:
    """Add a warning to the job, once."""
    job, _ = hold(session, lease)
    warn(session, job, pointer="", code=code, message=message)


def save_artifact(session: Session, lease: Lease, *, name: str, media_type: str, blob: StoredBlob) -> None:
    """Store or replace an artifact of the job."""
    job, _ = hold(session, lease)
    use_blob(session, job.id, f"artifact:{name}", blob.key)
    artifact = session.get(Artifact, (job.id, name)) or Artifact(job_id=job.id, name=name)
    artifact.media_type = media_type
    artifact.size_bytes = blob.size_bytes
    artifact.sha256 = blob.sha256
    artifact.blob_key = blob.key
    session.add(artifact)
    data = {"name": name, "size_bytes": blob.size_bytes, "sha256": blob.sha256}
    record(session, job, "artifact.created", data)


def load_item(session: Session, lease: Lease) -> tuple[Job, WorkItem, Model]:
    """Return the item with its job and model, as a runner needs them to start."""
    job, item = hold(session, lease)
    return job, item, session.get_one(Model, job.model_id)


def dataset_of(session: Session, job: Job) -> Dataset | None:
    """Return the uploaded dataset of a job; None for a built-in one."""
    return None if job.dataset_id is None else session.get_one(Dataset, job.dataset_id)


def pin_device(session: Session, lease: Lease, found: str) -> str:
    """Return the job's device; the first item to ask decides it, since devices draw different numbers."""
    job, _ = hold(session, lease)
    if "device" not in job.execution:
        job.execution = {**job.execution, "device": found}
        statement = update(WorkItem).where(WorkItem.job_id == job.id).values(requires=required(job))
        session.execute(statement.execution_options(synchronize_session=False))
    return str(job.execution["device"])


def checkpoint_of(session: Session, job_id: str, key: str) -> dict[str, Any] | None:
    """Return the blob that holds what an item of the job made; None while it is made again."""
    query = select(WorkItem.checkpoint).where(WorkItem.job_id == job_id, WorkItem.key == key)
    checkpoint: dict[str, Any] | None = session.scalars(query).one()
    return checkpoint


def has_item(session: Session, job_id: str, key: str) -> bool:
    """Return whether the job has an item of that key."""
    query = select(WorkItem.id).where(WorkItem.job_id == job_id, WorkItem.key == key)
    return session.scalars(query).one_or_none() is not None

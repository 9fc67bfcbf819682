"""The tables. Relations are not loaded behind the reader's back: repositories ask for what they need."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Double, ForeignKey, Index, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, validates

from app.db.ids import new_id
from app.db.types import Json, UtcDateTime, utc_now

# For items from before this column: any device, compiled loops.
DEFAULT_ABILITY = "auto/compiled"
# Owns what was made before there were projects, and what is made without a key.
DEFAULT_PROJECT = "default"

_ID = String(36)
_NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables of the service."""

    metadata = MetaData(naming_convention=_NAMING)


class Project(Base):
    """Whose resources are kept apart from others'. Made with its first key."""

    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Its own limits, by the names of `app.usage.limits`; those that are absent are the deployment's.
    limits: Mapped[dict[str, Any] | None] = mapped_column(Json)
    # Of the workers' time, relative to other projects'.
    share: Mapped[float] = mapped_column(Double, default=1.0, server_default="1")
    # Accounts of `app.engine.turns`, in seconds: of the project, which was at `begun_s` when its last item
    # was claimed, and of what passed its oldest job.
    served_s: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    begun_s: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    passing_s: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Owned:
    """A table whose rows belong to a project. Sessions of a project see only its rows (`app.db.scope`)."""

    project: Mapped[str] = mapped_column(
        String(64), ForeignKey("projects.name"), default=DEFAULT_PROJECT, server_default=DEFAULT_PROJECT
    )


class OfJob:
    """A table whose rows belong to the project of their job."""

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))


class OfWebhook:
    """A table whose rows belong to the project of their webhook."""

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))


class ApiKey(Base):
    """A key of the API. What the client sends is kept as hashes of its secrets alone."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Text)
    project: Mapped[str] = mapped_column(ForeignKey("projects.name"), index=True)
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Written at most once a minute.
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Withdrawn keys stay: where a key was ever made, nobody gets in without one.
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class KeySecret(Base):
    """What proves that a client has a key: the key itself, or a browser's session that was begun with it."""

    __tablename__ = "key_secrets"

    # The part of the secret that is no secret: it finds the row.
    prefix: Mapped[str] = mapped_column(String(16), primary_key=True)
    # None: a session that was begun with the key in the settings.
    key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)


class Model(Owned, Base):
    """An uploaded ONNX model and what its inspection found."""

    __tablename__ = "models"
    __table_args__ = (
        Index("uq_models_project_sha256", "project", "sha256", unique=True),
        Index("ix_models_sha256", "sha256"),
        Index("ix_models_blob_key", "blob_key"),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Text)
    # Of the content; of content and outputs together where outputs were chosen: then it is another model.
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    blob_key: Mapped[str] = mapped_column(Text)
    report: Mapped[dict[str, Any]] = mapped_column(Json)
    verification_state: Mapped[str] = mapped_column(String(16), default="pending")
    verification_max_rel_diff: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Dataset(Owned, Base):
    """An uploaded dataset; built-in ones need no row."""

    __tablename__ = "datasets"
    __table_args__ = (
        Index("uq_datasets_project_identity", "project", "identity", unique=True),
        Index("ix_datasets_sha256", "sha256"),
        Index("ix_datasets_blob_key", "blob_key"),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Text)
    # Content and split together: the same bytes split otherwise are another dataset.
    identity: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(16))
    options: Mapped[dict[str, Any]] = mapped_column(Json)
    blob_key: Mapped[str] = mapped_column(Text)
    report: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Job(Owned, Base):
    """A job. Its state is derived from its work items, through `app.engine.states` alone."""

    __tablename__ = "jobs"
    # Each filter of the list has its rows in the order of the list, which is that of the ids.
    __table_args__ = (
        Index("ix_jobs_state_id", "state", "id"),
        Index("ix_jobs_project_id_name", "project", "id", "name"),
        Index("ix_jobs_project_state_id", "project", "state", "id"),
        Index("ix_jobs_config_hash_id", "config_hash", "id"),
        Index("ix_jobs_model_id_id", "model_id", "id"),
        Index("ix_jobs_dataset_ref_id", "dataset_ref", "id"),
        Index("ix_jobs_project_created_at_id", "project", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    name: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(Json)
    # What it is, of `app.engine.kinds`.
    kind: Mapped[str] = mapped_column(String(32), default="inference", server_default="inference")
    state: Mapped[str] = mapped_column(String(16))
    phase: Mapped[str | None] = mapped_column(String(32))
    # Grows with every change that a client can see; the sequence number of events and the ETag.
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    # Grows with every cell and baseline: the entity tag of the results, which progress leaves alone.
    results_version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    effective_config: Mapped[dict[str, Any]] = mapped_column(Json)
    config_hash: Mapped[str] = mapped_column(String(64))
    # What fixes the last bits of the numbers: threads, batch sizes, instances at once.
    execution: Mapped[dict[str, Any]] = mapped_column(Json)
    seed: Mapped[int] = mapped_column(BigInteger)
    priority: Mapped[int] = mapped_column(Integer, default=0)
    # Estimated seconds: of a sample-forward, of the job without what it took over, and of what was left of it
    # when an item of it was last claimed or stopped (its place in `app.engine.turns`).
    sample_s: Mapped[float] = mapped_column(Double, default=1e-4, server_default="0.0001")
    estimated_s: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    left_s: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    dataset_ref: Mapped[str] = mapped_column(Text)
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id"), index=True)
    progress_done: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_total: Mapped[int] = mapped_column(BigInteger, default=0)
    # When progress was last written; the estimate of the rest is as of then, so it is part of the version.
    progressed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempt: Mapped[int] = mapped_column(Integer, default=1)
    failure: Mapped[dict[str, Any] | None] = mapped_column(Json)
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    retry_of: Mapped[str | None] = mapped_column(_ID)
    extends: Mapped[str | None] = mapped_column(_ID)
    # Jobs whose cells were taken over, because the same question had been asked before.
    cached_from: Mapped[list[str]] = mapped_column(Json, default=list)
    # Where it comes from, for logs and traces: the submitting request, and its place in a trace.
    origin: Mapped[dict[str, str] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    queued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


# The order in which jobs have their turns: a claim reads the first few.
Index("ix_jobs_project_state_turn", Job.project, Job.state, Job.priority.desc(), Job.left_s, Job.id)


class JobResultKey(OfJob, Base):
    """Names what numbers depend on: jobs with equal keys have equal ones.

    `variant` names whose: a variant's cells, or, as `finetune:hwa`, what it was trained to.
    """

    __tablename__ = "job_result_keys"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    variant: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), index=True)


class JobTag(OfJob, Base):
    """A tag of a job, for filtering."""

    __tablename__ = "job_tags"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class WorkItem(OfJob, Base):
    """A piece of a job that one worker does at a time, under a lease with a fencing token."""

    __tablename__ = "work_items"
    __table_args__ = (
        Index("uq_work_items_job_id_key", "job_id", "key", unique=True),
        Index("ix_work_items_state_priority", "state", "priority", "id"),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    # Names the item within its job, such as `finetune:hwa` or `evaluate:hwa:0`.
    key: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    # Keys of the items of the same job that must have succeeded before.
    needs: Mapped[list[str]] = mapped_column(Json)
    # What a worker must be able to do, as `app.engine.abilities` names it.
    requires: Mapped[str] = mapped_column(String(32), default=DEFAULT_ABILITY)
    priority: Mapped[int] = mapped_column(Integer, default=0)
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    # Attempts since the last one that made progress: so many may fail in a row.
    barren_attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_token: Mapped[int] = mapped_column(BigInteger, default=0)
    lease_owner: Mapped[str | None] = mapped_column(Text)
    lease_expires_s: Mapped[float | None] = mapped_column(Double)
    rung_at_s: Mapped[float] = mapped_column(Double, default=0.0)
    progress_done: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_total: Mapped[int] = mapped_column(BigInteger, default=0)
    # The estimated seconds that are on the accounts while it runs; None otherwise.
    charged_s: Mapped[float | None] = mapped_column(Double)
    # When its runner last gave a sign of life, on the database's clock.
    heard_at_s: Mapped[float] = mapped_column(Double, default=0.0)
    # The last fine-tuning checkpoint: {"epoch": n, "blob_key": ...}.
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(Json)
    failure: Mapped[dict[str, Any] | None] = mapped_column(Json)
    # When it last became claimable.
    queued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @validates("state")
    def _note_when_queued(self, _: str, state: str) -> str:
        if state == "queued":
            self.queued_at = utc_now()
        return state


class Cell(OfJob, Base):
    """One evaluation: a variant on one chip instance at one time. Counts only; statistics are for readers."""

    __tablename__ = "cells"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    variant: Mapped[str] = mapped_column(String(16), primary_key=True)
    repeat: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    t_inference: Mapped[float] = mapped_column(Double, primary_key=True)
    # What was counted, by the names of `simulator.config.tasks.COUNTS`.
    counts: Mapped[dict[str, float]] = mapped_column(Json)
    # For SQL: the task's metric, and the mean loss; None where they are not finite.
    metric: Mapped[float | None] = mapped_column(Double)
    loss: Mapped[float | None] = mapped_column(Double)


class AnalysisRow(OfJob, Base):
    """What an analysis found: counts of one chip at one time under one setting, or something else it saw."""

    __tablename__ = "analysis_rows"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    # The type of the analysis, and the key of the setting within it: the same in every job.
    analysis: Mapped[str] = mapped_column(String(32), primary_key=True)
    setting: Mapped[str] = mapped_column(String(64), primary_key=True)
    variant: Mapped[str] = mapped_column(String(16), primary_key=True)
    repeat: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    t_inference: Mapped[float] = mapped_column(Double, primary_key=True)
    # What the setting is.
    coordinates: Mapped[dict[str, Any]] = mapped_column(Json)
    # What was counted, by the names of `simulator.config.tasks.COUNTS`; or what else the analysis saw.
    counts: Mapped[dict[str, Any]] = mapped_column(Json)
    # For SQL: the task's metric; None where it is not finite.
    metric: Mapped[float | None] = mapped_column(Double)


class Baseline(OfJob, Base):
    """The floating-point result of one of a job's models: `digital` as uploaded, `hwa` fine-tuned."""

    __tablename__ = "baselines"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    variant: Mapped[str] = mapped_column(String(16), primary_key=True)
    # What was counted, by the names of `simulator.config.tasks.COUNTS`.
    counts: Mapped[dict[str, float]] = mapped_column(Json)
    # For SQL: the task's metric, and the mean loss; None where they are not finite.
    metric: Mapped[float | None] = mapped_column(Double)
    loss: Mapped[float | None] = mapped_column(Double)


class Epoch(OfJob, Base):
    """One fine-tuning epoch."""

    __tablename__ = "epochs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    variant: Mapped[str] = mapped_column(String(16), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    train_loss: Mapped[float] = mapped_column(Double)
    train_accuracy: Mapped[float | None] = mapped_column(Double)
    # On the samples kept apart, under noise; null without validation.
    validation_loss: Mapped[float | None] = mapped_column(Double)
    validation_accuracy: Mapped[float | None] = mapped_column(Double)
    learning_rate: Mapped[float] = mapped_column(Double)
    seconds: Mapped[float] = mapped_column(Double)
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Event(OfJob, Base):
    """Something that happened to a job, numbered by the job's version at the time."""

    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Artifact(OfJob, Base):
    """A file that a job made."""

    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(128))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    blob_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class JobBlob(OfJob, Base):
    """A use of a blob by a job. Blobs are named by their content: jobs with equal files share them."""

    __tablename__ = "job_blobs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    # What it is to the job, such as `checkpoint:finetune:hwa` or `artifact:finetuned.onnx`.
    role: Mapped[str] = mapped_column(String(192), primary_key=True)
    blob_key: Mapped[str] = mapped_column(Text, index=True)


class ServiceFact(Base):
    """Something that is true of the whole installation, such as which storage belongs to this database."""

    __tablename__ = "service_facts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Speed(Base):
    """How fast a worker's machine is, as a calibration on it measured; estimates are made from it."""

    __tablename__ = "speeds"

    hostname: Mapped[str] = mapped_column(Text, primary_key=True)
    threads: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    # Raised when what is measured changes, so that workers measure anew.
    revision: Mapped[int] = mapped_column(Integer)
    measured: Mapped[dict[str, Any]] = mapped_column(Json)
    measured_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Worker(Base):
    """A worker process that has been seen."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    hostname: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    concurrency: Mapped[int] = mapped_column(Integer)
    # Of the product that it runs; None where an older one runs.
    version: Mapped[str | None] = mapped_column(Text)
    # What it is able to do, as work items require it; None when it does not say.
    able: Mapped[list[str] | None] = mapped_column(Json)
    # Why it takes no work at present; None when it does.
    idle_reason: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at_s: Mapped[float] = mapped_column(Double)


class IdempotencyKey(Owned, Base):
    """The answer to a request that carried an `Idempotency-Key`, kept for its repetitions."""

    __tablename__ = "idempotency_keys"

    project: Mapped[str] = mapped_column(
        String(64),
        ForeignKey("projects.name"),
        primary_key=True,
        default=DEFAULT_PROJECT,
        server_default=DEFAULT_PROJECT,
    )
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    # sha256 of method, path, query and body: another request must not come under the same key.
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    headers: Mapped[dict[str, str]] = mapped_column(Json)
    body: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class RpuConfig(Owned, Base):
    """A configuration that a client stored under a name."""

    __tablename__ = "rpu_configs"
    __table_args__ = (Index("ix_rpu_configs_project_id", "project", "id"),)

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    # As it was written: inline, or a preset with overrides.
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    # What it meant on the day it was stored; this is what counts.
    effective: Mapped[dict[str, Any]] = mapped_column(Json)
    config_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Webhook(Owned, Base):
    """Where a client wants messages about what happens to jobs."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_project_id", "project", "id"),)

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    # None: every type of event.
    events: Mapped[list[str] | None] = mapped_column(Json)
    secret: Mapped[str] = mapped_column(Text)
    # After a rotation messages are signed with the secret before, too, until then.
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    # Why the service disabled it; None when a client did, or nobody.
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    # The first failed attempt since the last one that succeeded.
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class WebhookDelivery(OfWebhook, Base):
    """A message for one webhook: the outbox, written with what it is about, sent by whichever worker."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_state_due_s", "state", "due_s"),
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
    )

    id: Mapped[str] = mapped_column(_ID, primary_key=True, default=new_id)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(32))
    # No foreign key: the log outlives the job.
    job_id: Mapped[str | None] = mapped_column(_ID)
    # The body, byte for byte the same at every attempt.
    payload: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    # One object per attempt: when, status code, latency, error.
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    queued_s: Mapped[float] = mapped_column(Double)
    due_s: Mapped[float] = mapped_column(Double)
    lease_token: Mapped[int] = mapped_column(BigInteger, default=0)
    lease_expires_s: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

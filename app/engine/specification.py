"""A stored job's specification and configuration as values: the one place where they are read."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import Dataset, Job
from simulator.config import InferenceRPUConfig
from simulator.config.datasets import builtin_datasets
from simulator.config.job import Device, JobSpec
from simulator.config.tasks import Task


def spec_of(job: Job) -> JobSpec:
    """Return what the job computes.

    Raises:
        pydantic.ValidationError: this version of the service does not take what an earlier one stored.
    """
    stored = {name: job.spec[name] for name in JobSpec.model_fields if name in job.spec}
    return JobSpec.model_validate(stored)


def config_of(job: Job) -> InferenceRPUConfig:
    """Return the job's effective RPU configuration.

    Raises:
        pydantic.ValidationError: this version of the service does not take what an earlier one stored.
    """
    return InferenceRPUConfig.model_validate(job.effective_config)


def device_of(job: Job) -> str:
    """Return the device that the job asks for: `auto`, `cpu` or `cuda`."""
    return str(job.spec.get("device", Device.AUTO))


def task_of(job: Job) -> Task:
    """Return what the job's network is asked to do."""
    return Task(job.spec["task"])


def dataset_report(session: Session, dataset_ref: str) -> dict[str, Any] | None:
    """Return what is known of a built-in or uploaded dataset; None where there is none, as after deletion."""
    builtin = builtin_datasets().get(dataset_ref)
    if builtin is not None:
        return builtin
    dataset = session.get(Dataset, dataset_ref)
    return None if dataset is None else dataset.report


def classes_of(session: Session, dataset_ref: str) -> int | None:
    """Return how many classes a dataset has; None for other targets, and where it was deleted."""
    report = dataset_report(session, dataset_ref)
    return None if report is None else report.get("classes")

"""What one can ask of the service, each written once, as a generator for either client."""

from driftline.operations.access import add_key, keys, rotate_key, whoami, withdraw_key
from driftline.operations.anything import request
from driftline.operations.configs import preset, presets, validate_config, workers
from driftline.operations.cost import (
    cost,
    costs,
    hardware_profiles,
    job_cost,
    job_cost_as,
    validate_hardware,
)
from driftline.operations.datasets import dataset, datasets, delete_dataset, upload_dataset
from driftline.operations.events import events
from driftline.operations.jobs import cancel, delete, dry_run, extend, job, jobs, retry, submit
from driftline.operations.models import delete_model, model, models, upload_model
from driftline.operations.results import (
    analyses,
    analysis,
    analysis_as,
    artifact,
    artifacts,
    compare,
    download,
    history,
    lifetime,
    plot,
    report,
    results,
    results_as,
    summary,
)
from driftline.operations.running import map_jobs, run
from driftline.operations.waiting import wait

__all__ = [
    "add_key",
    "analyses",
    "analysis",
    "analysis_as",
    "artifact",
    "artifacts",
    "cancel",
    "compare",
    "cost",
    "costs",
    "dataset",
    "datasets",
    "delete",
    "delete_dataset",
    "delete_model",
    "download",
    "dry_run",
    "events",
    "extend",
    "hardware_profiles",
    "history",
    "job",
    "job_cost",
    "job_cost_as",
    "jobs",
    "keys",
    "lifetime",
    "map_jobs",
    "model",
    "models",
    "plot",
    "preset",
    "presets",
    "report",
    "request",
    "results",
    "results_as",
    "retry",
    "rotate_key",
    "run",
    "submit",
    "summary",
    "upload_dataset",
    "upload_model",
    "validate_config",
    "validate_hardware",
    "wait",
    "whoami",
    "withdraw_key",
    "workers",
]

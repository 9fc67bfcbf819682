"""The rules of jobs, for the API. It never commits: the endpoint's transaction does."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy.orm import Session

from app.db.tables import Artifact, Job
from app.db.types import utc_now
from app.jobs import items, plots, results
from app.jobs.checks import Checked, check
from app.jobs.planning import Ranges, Sizes, plan
from app.jobs.repository import JobRepository
from app.jobs.schemas import JobCreate
from app.jobs.states import FINAL, JobState, lock, record
from app.kit.fields import not_found
from app.kit.problems import Conflict, InvalidRequest
from app.settings import Settings
from simulator.config import LossType, config_hash, effective


class JobService:
    """Submits, cancels, deletes and reads jobs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.jobs = JobRepository(session)

    def submit(self, request: JobCreate, settings: Settings) -> Job:
        """Store a new job with its work items.

        Raises:
            InvalidRequest: with every fault that the checks found.
        """
        found = check(request, self.jobs, max_cells=settings.max_cells_per_job)
        if found.faults or found.model is None or found.dataset_report is None:
            raise InvalidRequest("the job cannot be done as it was asked for", errors=found.faults)
        job = _new_job(request, found, settings)
        sizes = _sizes(job.spec, found.dataset_report)
        work = plan(
            job.spec,
            sizes,
            _ranges(found),
            verified=found.model.verification_state == "passed",
            repeats_per_shard=settings.repeats_per_shard,
        )
        job.progress_total = sum(item.progress_total for item in work)
        self.jobs.add(job, work)
        record(self._session, job, "job.queued")
        for warning in job.warnings:
            record(self._session, job, "job.warning", warning)
        return job

    def get(self, job_id: str) -> Job:
        """Return the job; NotFound if there is none."""
        job = self.jobs.get(job_id)
        if job is None:
            raise not_found("job", job_id)
        return job

    def cancel(self, job_id: str) -> Job:
        """Cancel the job.

        Raises:
            NotFound: there is none.
            Conflict: it has ended, or is being cancelled already.
        """
        job = self._locked(job_id)
        if job.state in FINAL:
            raise Conflict(f"the job has ended: it {_said(job.state)}", code="job_ended")
        if job.state == JobState.CANCELLING:
            raise Conflict("the job is being cancelled already", code="already_cancelling")
        items.cancel(self._session, job)
        return job

    def delete(self, job_id: str) -> str:
        """Delete a job that has ended, with its results; return the prefix of its blobs.

        Raises:
            NotFound: there is none.
            Conflict: it has not ended.
        """
        job = self._locked(job_id)
        if job.state not in FINAL:
            raise Conflict(f"the job is {job.state}; cancel it first", code="job_not_ended")
        self.jobs.delete(job)
        return f"jobs/{job_id}"

    def results(self, job: Job, *, cells: bool = False, test_set_ci: bool = False) -> dict[str, Any]:
        """Return the results so far."""
        task = job.spec["task"]
        rows = self.jobs.cells(job.id)
        series = results.series(task, rows)
        if test_set_ci and task == "classification" and rows:
            total = rows[0].total
            for one in series:
                for point in one["points"]:
                    point["test_set_ci95"] = results.wilson95(point["mean"] * total, total)
        answer: dict[str, Any] = {
            "job": job.id,
            "complete": job.state == JobState.SUCCEEDED,
            "task": task,
            "metric": results.metric_name(task),
            "baseline": {
                row.variant: results.baseline_json(task, row) for row in self.jobs.baselines(job.id)
            },
            "series": series,
        }
        if cells:
            answer["cells"] = [{name: getattr(row, name) for name in results.CELL_COLUMNS} for row in rows]
        return answer

    def results_csv(self, job: Job, *, cells: bool) -> str:
        """Return the points, or the cells, as CSV."""
        rows = self.jobs.cells(job.id)
        if cells:
            return results.cells_to_csv(rows)
        return results.to_csv(results.series(job.spec["task"], rows))

    def picture(self, job: Job, file_format: Literal["svg", "png"]) -> bytes:
        """Return the accuracy over time as a picture."""
        return plots.draw(self.results(job), job.name or f"job {job.id}", file_format)

    def artifact(self, job_id: str, name: str) -> Artifact:
        """Return one of the job's files; NotFound if there is none of that name."""
        job = self.get(job_id)
        found = self.jobs.artifact(job.id, name)
        if found is None:
            raise not_found("artifact", name)
        return found

    def _locked(self, job_id: str) -> Job:
        job = lock(self._session, job_id)
        if job is None:
            raise not_found("job", job_id)
        return job


def _new_job(request: JobCreate, found: Checked, settings: Settings) -> Job:
    spec = request.model_dump(mode="json")
    spec["task"] = found.task
    if spec["finetune"] is not None and found.task == "regression":
        spec["finetune"]["loss"] = LossType.MSE.value
    now = utc_now()
    return Job(
        name=request.name,
        tags=list(dict.fromkeys(request.tags)),
        state=JobState.QUEUED,
        spec=spec,
        effective_config=effective(request.config),
        config_hash=config_hash(request.config),
        execution={
            "threads": settings.threads_per_item,
            "batch_size": spec["evaluate"]["batch_size"],
            "instances_at_once": 1,
        },
        seed=request.seed,
        priority=request.priority,
        model_id=request.model,
        dataset_ref=request.dataset,
        dataset_id=None if found.dataset is None else found.dataset.id,
        warnings=found.warnings,
        version=0,
        created_at=now,
        queued_at=now,
    )


def _sizes(spec: dict[str, Any], dataset_report: dict[str, Any]) -> Sizes:
    def limited(size: int, limit: int | None) -> int:
        return size if limit is None else min(size, limit)

    train_limit = None if spec["finetune"] is None else spec["finetune"]["max_samples"]
    return Sizes(
        train=limited(dataset_report["train_size"], train_limit),
        test=limited(dataset_report["test_size"], spec["evaluate"]["max_samples"]),
    )


def _ranges(found: Checked) -> Ranges:
    ranges = [config.pre_post.input_range for config in found.layer_configs]
    enabled = [one for one in ranges if one.enable]
    return Ranges(enabled=bool(enabled), learned=all(one.learn_input_range for one in enabled))


def _said(state: str) -> str:
    return "was cancelled" if state == JobState.CANCELLED else state

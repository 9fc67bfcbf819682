"""The rules of jobs, for the API. It never commits: the endpoint's transaction does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.cost.sizes import SizeReader, remembering
from app.db.blobs import BlobStore
from app.db.tables import Artifact, Job, Model, Worker, WorkItem
from app.db.types import utc_now
from app.engine import kinds, turns
from app.engine.abilities import required
from app.engine.items import endings
from app.engine.kinds.analyses.plan import first_items
from app.engine.kinds.analyses.subject import Subject
from app.engine.kinds.inference.content_keys import ContentKeys, content_keys
from app.engine.kinds.inference.plan import Ranges, Sizes, needs_of, plan
from app.engine.kinds.inference.repeats import chips_of
from app.engine.kinds.inference.reuse import Reuse
from app.engine.specification import spec_of
from app.engine.states import FINAL, ItemState, JobState, lock, move, record
from app.jobs.checks import Checked, check
from app.jobs.estimate import dry_run, fastest
from app.jobs.repository import JobRepository, KnownResults
from app.jobs.schemas import DryRunView, JobCreate, JobExtend, LeastView, QueueView, WaitReason
from app.kit.faults import from_pydantic
from app.kit.fields import not_found
from app.kit.problems import Conflict, Fault, InvalidRequest
from app.monitoring.traces import origin
from app.settings import Settings
from app.usage.quotas import Quotas
from simulator.config import LossType, config_hash, effective, resolve
from simulator.config.job import JobSpec
from simulator.config.tasks import Task

_NOTHING_KNOWN = KnownResults({}, frozenset())


@dataclass(frozen=True)
class Accepted:
    """A request that passed all checks.

    Attributes:
        request: the well-formed request.
        found: what the checks found.
        model: what it is about.
        dataset_report: of the data.
        retry_of: the job that is tried again.
        extends: the job that gets more repeats or times.
    """

    request: JobCreate
    found: Checked
    model: Model
    dataset_report: dict[str, Any]
    retry_of: str | None = None
    extends: str | None = None


class JobService:
    """Submits, cancels, deletes and reads jobs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.jobs = JobRepository(session)

    def accept(self, request: JobCreate, settings: Settings, sizes: SizeReader) -> Accepted:
        """Return the request with all that its job is made of. Reads only: it may take long.

        Args:
            request: what is asked for.
            settings: limits.
            sizes: looks at a model whose file leaves sizes open with those of the samples.

        Raises:
            InvalidRequest: with every fault that the checks found.
        """
        found = check(request, self.jobs, sizes, max_cells=settings.max_cells_per_job)
        if found.faults or found.model is None or found.dataset_report is None:
            raise InvalidRequest("the job cannot be done as it was asked for", errors=found.faults)
        return Accepted(request, found, found.model, found.dataset_report)

    def submit(self, accepted: Accepted, settings: Settings, blobs: BlobStore, *, fresh: bool = False) -> Job:
        """Store a new job with its work items; what earlier jobs computed is taken over.

        Args:
            accepted: the request, as `accept` returned it.
            settings: limits, and how work is cut.
            blobs: where files that are taken over lie.
            fresh: take nothing over.

        Raises:
            TooManyRequests: it is beyond a limit of the project.
        """
        found = accepted.found
        job = _new_job(accepted.request, found, settings)
        spec = spec_of(job)
        subject = Subject.of(spec, accepted.request.config, accepted.model.report)
        sizes = _sizes(spec, accepted.dataset_report)
        work = _plan(subject, sizes, found, settings, fresh=fresh)
        requires = required(job)
        for item in work:
            item.requires = requires
        job.progress_total = sum(item.progress_total for item in work)
        job.retry_of, job.extends = accepted.retry_of, accepted.extends
        keys = content_keys(job, spec, accepted.model, found.dataset)
        quotas = Quotas(self._session, settings)
        quotas.require_room_for_job()
        chips = spec.evaluate.fewest_repeats
        estimate = self._estimate(accepted, spec, work, _NOTHING_KNOWN, settings, chips=chips)
        if estimate.estimated_seconds is not None and job.progress_total:
            job.sample_s = estimate.estimated_seconds / job.progress_total
        else:
            job.sample_s = turns.SAMPLE_S
        self.jobs.add(job, work, keys.stored)
        self._keep_counts(accepted)
        record(self._session, job, "job.queued")
        for warning in job.warnings:
            record(self._session, job, "job.warning", warning)
        if not fresh:
            self._take_over(job, spec, work, keys, blobs)
        job.estimated_s = job.left_s = turns.left_s(job)
        quotas.require_room_for_seconds(job.estimated_s)
        return job

    def _keep_counts(self, accepted: Accepted) -> None:
        """Keep with the model what was found about it for the samples, from which costs follow later on."""
        model = self.jobs.model(accepted.model.id)
        if model is not None and accepted.found.counts is not None:
            model.report = remembering(model.report, accepted.dataset_report, accepted.found.counts)

    def dry_run(self, accepted: Accepted, settings: Settings, *, fresh: bool = False) -> DryRunView:
        """Return what the job of an accepted request would be; `fresh`: with nothing taken over."""
        request, found = accepted.request, accepted.found
        job = _new_job(request, found, settings)
        spec = spec_of(job)
        keys = ContentKeys() if fresh else content_keys(job, spec, accepted.model, found.dataset)
        sizes = _sizes(spec, accepted.dataset_report)
        subject = Subject.of(spec, request.config, accepted.model.report)

        def priced(chips: int) -> DryRunView:
            work = _plan(subject, sizes, found, settings, chips=chips)
            known = self.jobs.known_results(keys, spec.evaluate.t_inference, chips)
            return self._estimate(accepted, spec, work, known, settings, chips=chips)

        most = priced(spec.evaluate.most_repeats)
        if spec.evaluate.until is not None:
            least = priced(spec.evaluate.fewest_repeats)
            most.at_least = LeastView.model_validate(least.model_dump(include=set(LeastView.model_fields)))
        return most

    def _estimate(
        self,
        accepted: Accepted,
        spec: JobSpec,
        work: list[WorkItem],
        known: KnownResults,
        settings: Settings,
        *,
        chips: int,
    ) -> DryRunView:
        return dry_run(
            spec,
            chips=chips,
            config=accepted.found.layer_configs[0],
            training=accepted.found.training_configs[0],
            report=accepted.found.report,
            sizes=_sizes(spec, accepted.dataset_report),
            items=work,
            known=known,
            speed=fastest(self.jobs.speeds(), settings.threads_per_item),
            warnings=accepted.found.warnings,
            cost=accepted.found.cost,
        )

    def accept_retry(self, job_id: str, settings: Settings, sizes: SizeReader) -> Accepted:
        """Return a failed or cancelled job's request, to be submitted again. Reads only.

        Raises:
            NotFound: there is none.
            Conflict: it has not failed, nor been cancelled.
            InvalidRequest: it can no longer be done, for example since its dataset was deleted.
        """
        job = self.get(job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise Conflict(
                f"only a failed or cancelled job is retried; this one is {job.state}", code="not_failed"
            )
        return replace(self.accept(_request_of(job), settings, sizes), retry_of=job.id)

    def accept_extension(
        self, job_id: str, more: JobExtend, settings: Settings, sizes: SizeReader
    ) -> Accepted:
        """Return a finished job's request with more repeats, times or analyses, to be submitted. Reads only.

        An analysis takes the place of one of its type that the job has. Where waves decided how many chips
        there are, their number is fixed from then on.

        Raises:
            NotFound: there is none.
            Conflict: it has not succeeded.
            InvalidRequest: nothing is added, or it can no longer be done.
        """
        job = self.get(job_id)
        if job.state != JobState.SUCCEEDED:
            raise Conflict(f"only a finished job is extended; this one is {job.state}", code="not_finished")
        evaluate = job.spec["evaluate"]
        times = sorted({*evaluate["t_inference"], *more.t_inference})
        chips = chips_of(self._session, job)
        repeats = max(chips, more.repeats or 0)
        asked = [one.model_dump(mode="json") for one in more.analyses]
        before = job.spec.get("analyses", [])
        new = [one for one in asked if one not in before]
        if len(times) == len(evaluate["t_inference"]) and repeats == chips and not new:
            has = f"{repeats} repeats at {len(times)} times" + (" and these analyses" if asked else "")
            message = f"the job has {has} already; ask for more"
            raise InvalidRequest(message, errors=[Fault(pointer="", code="nothing_to_add", message=message)])
        longer = {**evaluate, "t_inference": times, "repeats": repeats}
        kept = [one for one in before if one["type"] not in {other["type"] for other in new}]
        request = _request_of(
            job,
            otherwise="the job with what is added to it is not valid",
            evaluate=longer,
            analyses=[*kept, *new],
        )
        return replace(self.accept(request, settings, sizes), extends=job.id)

    def _take_over(
        self,
        job: Job,
        spec: JobSpec,
        work: list[WorkItem],
        keys: ContentKeys,
        blobs: BlobStore,
    ) -> None:
        Reuse(self._session, job, spec, keys, blobs).take_over(work)
        requires = required(job)  # the device of what was taken over, too
        for item in work:
            item.requires = requires
        if job.cached_from:
            record(self._session, job, "job.reused", {"jobs": job.cached_from, "done": job.progress_done})
        if all(item.state == ItemState.SUCCEEDED for item in work):
            move(self._session, job, JobState.RUNNING)
            self._session.flush()
            endings.end_round(self._session, job, kinds.next_round)

    def queue(self, job: Job, settings: Settings) -> QueueView | None:
        """Return what a queued job waits for; None for others."""
        if job.state != JobState.QUEUED:
            return None
        before = turns.jobs_before(self._session, job)
        reason = waits_for(job, self.jobs.workers_alive(settings.worker_silence_s))
        return QueueView(position=before + 1, reason=reason)

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
        job = self.locked(job_id)
        if job.state in FINAL:
            raise Conflict(f"the job has ended: it {_said(job.state)}", code="job_ended")
        if job.state == JobState.CANCELLING:
            raise Conflict("the job is being cancelled already", code="already_cancelling")
        endings.cancel(self._session, job)
        return job

    def delete(self, job_id: str) -> str:
        """Delete a job that has ended, with its results; return the prefix of its blobs.

        Raises:
            NotFound: there is none.
            Conflict: it has not ended.
        """
        job = self.locked(job_id)
        if job.state not in FINAL:
            raise Conflict(f"the job is {job.state}; cancel it first", code="job_not_ended")
        self.jobs.delete(job)
        return f"jobs/{job_id}"

    def artifact(self, job_id: str, name: str) -> Artifact:
        """Return one of the job's files; NotFound if there is none of that name."""
        job = self.get(job_id)
        found = self.jobs.artifact(job.id, name)
        if found is None:
            raise not_found("artifact", name)
        return found

    def locked(self, job_id: str) -> Job:
        """Return the job, locked until the transaction ends; NotFound if there is none."""
        job = lock(self._session, job_id)
        if job is None:
            raise not_found("job", job_id)
        return job


_MOVED_BY_EXTEND = ("/evaluate/t_inference", "/evaluate/repeats", "/analyses")


_NO_LONGER = "the job that this would make is not one that this version of the service takes"


def _request_of(job: Job, *, otherwise: str = _NO_LONGER, **changes: Any) -> JobCreate:
    """Return the request that a job was made from, with some of its fields replaced.

    Args:
        job: that was made.
        otherwise: what is wrong if it breaks a limit.
        changes: the fields.

    Raises:
        InvalidRequest: it breaks a limit, of which there may be more than on the day the job was made.
    """
    spec = {**job.spec, "rpu_config": _written_config(job), **changes}
    try:
        return JobCreate.model_validate_json(json.dumps(spec))
    except ValidationError as error:
        faults = [_placed(fault) for fault in from_pydantic(error.errors(include_url=False), spec)]
    raise InvalidRequest(otherwise, errors=faults)


def _written_config(job: Job) -> dict[str, Any]:
    """Return a job's configuration as it was written, where that means today what it did; else the whole."""
    written: dict[str, Any] = job.spec["rpu_config"]
    try:
        is_same = effective(resolve(written)) == job.effective_config
    except ValidationError:  # a stored one, or one of which a part has another name today
        is_same = False
    return written if is_same else job.effective_config


def _placed(fault: Fault) -> Fault:
    """Return a fault of a new job's specification where the client finds it: in its body, or in the job."""
    said = fault.pointer.startswith(_MOVED_BY_EXTEND)
    where = fault.pointer.removeprefix("/evaluate") if said else f"/spec{fault.pointer}"
    hint = fault.hint or ("ask for less" if said else "submit the job anew with POST /v1/jobs, changed there")
    return fault.model_copy(update={"pointer": where, "hint": hint})


def _new_job(request: JobCreate, found: Checked, settings: Settings) -> Job:
    spec = request.model_dump(mode="json")
    spec["task"] = found.task
    if request.hardware is None:
        del spec["hardware"]
    if spec["finetune"] is not None and found.task is Task.REGRESSION:
        spec["finetune"]["loss"] = LossType.MSE.value
    if spec["finetune"] is not None and spec["finetune"]["rpu_config"] is None:
        del spec["finetune"]["rpu_config"]
    if spec["evaluate"]["maintenance"] is None:
        del spec["evaluate"]["maintenance"]
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
            "loops": settings.loops,
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
        origin=origin() or None,
    )


def _sizes(spec: JobSpec, dataset_report: dict[str, Any]) -> Sizes:
    return Sizes.of(spec, train=dataset_report["train_size"], test=dataset_report["test_size"])


def _ranges(found: Checked) -> Ranges:
    ranges = [config.pre_post.input_range for config in found.training_configs]
    enabled = [one for one in ranges if one.enable]  # evaluation's are on where training's are
    return Ranges(enabled=bool(enabled), learned=all(one.learn_input_range for one in enabled))


def _plan(
    subject: Subject,
    sizes: Sizes,
    found: Checked,
    settings: Settings,
    *,
    chips: int | None = None,
    fresh: bool = False,
) -> list[WorkItem]:
    """Return a job's work items.

    Args:
        subject: the job.
        sizes: of its data.
        found: by the checks.
        settings: how work is cut.
        chips: all items of a job with so many; None: those that it begins with.
        fresh: nothing is taken over.
    """
    verified = found.model is not None and found.model.verification_state == "passed"
    ranges = _ranges(found)
    work = plan(
        subject.spec,
        sizes,
        ranges,
        verified=verified,
        repeats_per_shard=settings.repeats_per_shard,
        chips=chips,
        fresh=fresh,
    )
    if chips is None and subject.spec.evaluate.until is not None:
        return work  # analyses begin when there are chips enough
    needs = partial(needs_of, ranges=ranges, verified=verified)
    return [*work, *first_items(subject, sizes.test, needs)]


def waits_for(job: Job, alive: Sequence[Worker]) -> WaitReason:
    """Return why a queued job waits, with these workers alive."""
    able = [worker for worker in alive if worker.able is None or required(job) in worker.able]
    if not alive:
        return WaitReason.NO_WORKER
    if not able:
        return WaitReason.NO_WORKER_IS_ABLE
    if all(worker.idle_reason is not None for worker in able):
        return WaitReason.WORKERS_TAKE_NO_WORK
    return WaitReason.WORKERS_ARE_BUSY


def _said(state: str) -> str:
    return "was cancelled" if state == JobState.CANCELLED else state

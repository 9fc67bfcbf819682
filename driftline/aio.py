"""The asynchronous client: `AsyncDriftline`, with the same methods as `Driftline`, and its jobs."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from driftline import operations as ops
from driftline.binding import (
    as_it_is,
    awaiting,
    awaiting_on,
    iterating_later,
    iterating_later_on,
    made,
    made_each,
)
from driftline.core.settings import Settings
from driftline.errors import DriftlineError
from driftline.resources.access import Key, Whoami
from driftline.resources.analyses import Analysis, AnalysisState
from driftline.resources.configs import CheckedConfig, Preset
from driftline.resources.cost import CheckedProfile, Cost, Profile, TaggedCosts
from driftline.resources.jobs import Artifact, DryRun, Event, JobRecord
from driftline.resources.results import Comparison, History, Lifetime, Results, Summary
from driftline.resources.uploads import Dataset, Model
from driftline.transport.awaiting import AwaitingTransport


def _renewed(job: AsyncJob, data: dict[str, Any]) -> AsyncJob:
    return job._renew(data)  # noqa: SLF001 - ours


def _another(job: AsyncJob, data: dict[str, Any]) -> AsyncJob:
    return AsyncJob(data, job._transport)  # noqa: SLF001 - ours


class AsyncJob(JobRecord):
    """A job as it was last read, and what can be done with it; as `Job`, but every method is awaited.

    `refresh`, `wait` and `cancel` renew this job and return it; `retry` and `extend` return another one.
    """

    refresh = awaiting_on(ops.job, _renewed)
    wait = awaiting_on(ops.wait, _renewed)
    cancel = awaiting_on(ops.cancel, _renewed)
    retry = awaiting_on(ops.retry, _another)
    extend = awaiting_on(ops.extend, _another)
    delete = awaiting_on(ops.delete, as_it_is)
    events = iterating_later_on(ops.events, Event)

    results = awaiting_on(ops.results, made(Results))
    results_as = awaiting_on(ops.results_as, as_it_is)
    plot = awaiting_on(ops.plot, as_it_is)
    history = awaiting_on(ops.history, made(History))
    summary = awaiting_on(ops.summary, made(Summary))
    lifetime = awaiting_on(ops.lifetime, made(Lifetime))
    cost = awaiting_on(ops.job_cost, made(Cost))
    cost_as = awaiting_on(ops.job_cost_as, as_it_is)
    analyses = awaiting_on(ops.analyses, made_each(AnalysisState))
    analysis = awaiting_on(ops.analysis, made(Analysis))
    analysis_as = awaiting_on(ops.analysis_as, as_it_is)
    report = awaiting_on(ops.report, as_it_is)
    artifacts = awaiting_on(ops.artifacts, made_each(Artifact))
    artifact = awaiting_on(ops.artifact, as_it_is)
    download = awaiting_on(ops.download, as_it_is)


def _job_or_error(owner: AsyncDriftline, found: Any) -> AsyncJob | DriftlineError:
    return found if isinstance(found, DriftlineError) else AsyncJob(found, owner._transport)  # noqa: SLF001 - ours


class AsyncDriftline:
    """A connection to the service. An asynchronous context manager, for one event loop.

    Args:
        base_url: where the service is; by default what `DRIFTLINE_URL` says, or this machine.
        api_key: sent as `Authorization: Bearer`; by default what `DRIFTLINE_API_KEY` says,
            or the file that `DRIFTLINE_API_KEY_FILE` names.
        timeout_s: for one answer.
        retries: how often a request that may be repeated is repeated at most.

    Raises:
        InvalidInput: the address or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 5,
    ) -> None:
        self._transport = AwaitingTransport(Settings.of(base_url, api_key, timeout_s, retries))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._transport.settings.base_url

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    run = awaiting(ops.run, made(AsyncJob))
    map = awaiting(ops.map_jobs, lambda owner, found: [_job_or_error(owner, one) for one in found])

    upload_model = awaiting(ops.upload_model, made(Model))
    models = awaiting(ops.models, made_each(Model))
    model = awaiting(ops.model, made(Model))
    delete_model = awaiting(ops.delete_model, as_it_is)

    upload_dataset = awaiting(ops.upload_dataset, made(Dataset))
    datasets = awaiting(ops.datasets, made_each(Dataset))
    dataset = awaiting(ops.dataset, made(Dataset))
    delete_dataset = awaiting(ops.delete_dataset, as_it_is)

    presets = awaiting(ops.presets, made_each(Preset))
    preset = awaiting(ops.preset, made(Preset))
    validate_config = awaiting(ops.validate_config, made(CheckedConfig))
    workers = awaiting(ops.workers, as_it_is)

    whoami = awaiting(ops.whoami, made(Whoami))
    keys = awaiting(ops.keys, made_each(Key))
    add_key = awaiting(ops.add_key, made(Key))
    withdraw_key = awaiting(ops.withdraw_key, as_it_is)
    rotate_key = awaiting(ops.rotate_key, made(Key))

    submit = awaiting(ops.submit, made(AsyncJob))
    dry_run = awaiting(ops.dry_run, made(DryRun))
    jobs = awaiting(ops.jobs, made_each(AsyncJob))
    job = awaiting(ops.job, made(AsyncJob))
    wait = awaiting(ops.wait, made(AsyncJob))
    cancel = awaiting(ops.cancel, made(AsyncJob))
    retry = awaiting(ops.retry, made(AsyncJob))
    extend = awaiting(ops.extend, made(AsyncJob))
    delete = awaiting(ops.delete, as_it_is)
    events = iterating_later(ops.events, Event)

    results = awaiting(ops.results, made(Results))
    results_as = awaiting(ops.results_as, as_it_is)
    plot = awaiting(ops.plot, as_it_is)
    history = awaiting(ops.history, made(History))
    summary = awaiting(ops.summary, made(Summary))
    lifetime = awaiting(ops.lifetime, made(Lifetime))
    analyses = awaiting(ops.analyses, made_each(AnalysisState))
    analysis = awaiting(ops.analysis, made(Analysis))
    analysis_as = awaiting(ops.analysis_as, as_it_is)
    report = awaiting(ops.report, as_it_is)
    artifacts = awaiting(ops.artifacts, made_each(Artifact))
    artifact = awaiting(ops.artifact, as_it_is)
    download = awaiting(ops.download, as_it_is)
    compare = awaiting(ops.compare, made(Comparison))

    hardware_profiles = awaiting(ops.hardware_profiles, made_each(Profile))
    validate_hardware = awaiting(ops.validate_hardware, made(CheckedProfile))
    cost = awaiting(ops.cost, made(Cost))
    costs = awaiting(ops.costs, made(TaggedCosts))

    request = awaiting(ops.request, as_it_is)

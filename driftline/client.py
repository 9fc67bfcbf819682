"""The blocking client: `Driftline`, and the jobs that it returns."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from driftline import operations as ops
from driftline.binding import as_it_is, blocking, blocking_on, iterating, iterating_on, made, made_each
from driftline.core.settings import Settings
from driftline.errors import DriftlineError
from driftline.resources.access import Key, Whoami
from driftline.resources.analyses import Analysis, AnalysisState
from driftline.resources.configs import CheckedConfig, Preset
from driftline.resources.cost import CheckedProfile, Cost, Profile, TaggedCosts
from driftline.resources.jobs import Artifact, DryRun, Event, JobRecord
from driftline.resources.results import Comparison, History, Lifetime, Results, Summary
from driftline.resources.uploads import Dataset, Model
from driftline.transport.blocking import BlockingTransport


class JobResults(Results):
    """Results that read their cells from the service when a table of them is asked for."""

    def _all_cells(self) -> list[dict[str, Any]]:
        if self.get("cells") is None and self._transport is not None:
            found = self._transport.run(ops.results(self["job"], cells=True))
            return list(found["cells"])
        return super()._all_cells()


def _renewed(job: Job, data: dict[str, Any]) -> Job:
    return job._renew(data)  # noqa: SLF001 - ours


def _another(job: Job, data: dict[str, Any]) -> Job:
    return Job(data, job._transport)  # noqa: SLF001 - ours


class Job(JobRecord):
    """A job as it was last read, and what can be done with it.

    `refresh`, `wait` and `cancel` renew this job and return it; `retry` and `extend` return another one.
    """

    refresh = blocking_on(ops.job, _renewed)
    wait = blocking_on(ops.wait, _renewed)
    cancel = blocking_on(ops.cancel, _renewed)
    retry = blocking_on(ops.retry, _another)
    extend = blocking_on(ops.extend, _another)
    delete = blocking_on(ops.delete, as_it_is)
    events = iterating_on(ops.events, Event)

    results = blocking_on(ops.results, made(JobResults))
    results_as = blocking_on(ops.results_as, as_it_is)
    plot = blocking_on(ops.plot, as_it_is)
    history = blocking_on(ops.history, made(History))
    summary = blocking_on(ops.summary, made(Summary))
    lifetime = blocking_on(ops.lifetime, made(Lifetime))
    cost = blocking_on(ops.job_cost, made(Cost))
    cost_as = blocking_on(ops.job_cost_as, as_it_is)
    analyses = blocking_on(ops.analyses, made_each(AnalysisState))
    analysis = blocking_on(ops.analysis, made(Analysis))
    analysis_as = blocking_on(ops.analysis_as, as_it_is)
    report = blocking_on(ops.report, as_it_is)
    artifacts = blocking_on(ops.artifacts, made_each(Artifact))
    artifact = blocking_on(ops.artifact, as_it_is)
    download = blocking_on(ops.download, as_it_is)


def _job_or_error(owner: Driftline, found: Any) -> Job | DriftlineError:
    return found if isinstance(found, DriftlineError) else Job(found, owner._transport)  # noqa: SLF001 - ours


class Driftline:
    """A connection to the service. A context manager; threads may share it.

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
        self._transport = BlockingTransport(Settings.of(base_url, api_key, timeout_s, retries))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._transport.settings.base_url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    run = blocking(ops.run, made(Job))
    map = blocking(ops.map_jobs, lambda owner, found: [_job_or_error(owner, one) for one in found])

    upload_model = blocking(ops.upload_model, made(Model))
    models = blocking(ops.models, made_each(Model))
    model = blocking(ops.model, made(Model))
    delete_model = blocking(ops.delete_model, as_it_is)

    upload_dataset = blocking(ops.upload_dataset, made(Dataset))
    datasets = blocking(ops.datasets, made_each(Dataset))
    dataset = blocking(ops.dataset, made(Dataset))
    delete_dataset = blocking(ops.delete_dataset, as_it_is)

    presets = blocking(ops.presets, made_each(Preset))
    preset = blocking(ops.preset, made(Preset))
    validate_config = blocking(ops.validate_config, made(CheckedConfig))
    workers = blocking(ops.workers, as_it_is)

    whoami = blocking(ops.whoami, made(Whoami))
    keys = blocking(ops.keys, made_each(Key))
    add_key = blocking(ops.add_key, made(Key))
    withdraw_key = blocking(ops.withdraw_key, as_it_is)
    rotate_key = blocking(ops.rotate_key, made(Key))

    submit = blocking(ops.submit, made(Job))
    dry_run = blocking(ops.dry_run, made(DryRun))
    jobs = blocking(ops.jobs, made_each(Job))
    job = blocking(ops.job, made(Job))
    wait = blocking(ops.wait, made(Job))
    cancel = blocking(ops.cancel, made(Job))
    retry = blocking(ops.retry, made(Job))
    extend = blocking(ops.extend, made(Job))
    delete = blocking(ops.delete, as_it_is)
    events = iterating(ops.events, Event)

    results = blocking(ops.results, made(JobResults))
    results_as = blocking(ops.results_as, as_it_is)
    plot = blocking(ops.plot, as_it_is)
    history = blocking(ops.history, made(History))
    summary = blocking(ops.summary, made(Summary))
    lifetime = blocking(ops.lifetime, made(Lifetime))
    analyses = blocking(ops.analyses, made_each(AnalysisState))
    analysis = blocking(ops.analysis, made(Analysis))
    analysis_as = blocking(ops.analysis_as, as_it_is)
    report = blocking(ops.report, as_it_is)
    artifacts = blocking(ops.artifacts, made_each(Artifact))
    artifact = blocking(ops.artifact, as_it_is)
    download = blocking(ops.download, as_it_is)
    compare = blocking(ops.compare, made(Comparison))

    hardware_profiles = blocking(ops.hardware_profiles, made_each(Profile))
    validate_hardware = blocking(ops.validate_hardware, made(CheckedProfile))
    cost = blocking(ops.cost, made(Cost))
    costs = blocking(ops.costs, made(TaggedCosts))

    request = blocking(ops.request, as_it_is)

"""The page of one job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.configs.difference import Base, Change, base_of, changes
from app.datasets.service import DatasetService
from app.db.blobs import BlobStore
from app.db.tables import Job
from app.engine.kinds.inference.repeats import chips_of
from app.engine.states import FINAL, JobState
from app.jobs import views
from app.jobs.schemas import ArtifactView, EpochView, JobView
from app.jobs.service import JobService
from app.kit.problems import NotFound
from app.models.service import ModelService
from app.pages import words
from app.pages.rendering import Pages
from app.pages.repository import PageRepository
from app.pages.views.analyses import Analysed, analysed
from app.pages.views.cost import CostSection, cost_section
from app.pages.views.events import TOO_MANY, Told, told
from app.pages.views.hardware import Hardware, hardware
from app.pages.views.job_list import name_of, state_words
from app.pages.views.layer_figures import LayerFigures, layer_figures
from app.pages.views.layers import LayerRow, layer_rows
from app.pages.views.snippets import Snippets, snippets
from app.results.layers import read_conversion

_EVENTS: Final = 40
_CONVERSION: Final = "conversion.json"


@dataclass(frozen=True)
class JobPage:
    """What the page of a job shows besides its results.

    Attributes:
        job: as the API has it.
        version: number of its last event, after which a browser listens.
        name: or one that is made of its id.
        state_words: its state in words.
        chips: how many it asks for, or has so far.
        waits: why it waits, and for how long about; empty if it does not.
        advice: what to do about its failure; None if it has not failed.
        model: its name and id.
        dataset: its name.
        hardware: in a few words.
        base: what its configuration is compared with.
        changes: what differs from that.
        layers: of the network.
        described: whether the layers were looked at on tiles.
        layer: the pictures of one of them; None before that.
        cost: what an inference costs.
        analyses: what else was asked, with what was found.
        epochs: of fine-tuning, by variant.
        events: the last ones, newest first.
        artifacts: its files.
        snippets: how to send it again.
        execution: what fixes the last bits of its numbers.
    """

    job: JobView
    version: int
    name: str
    state_words: str
    chips: int
    waits: str
    advice: str | None
    model: str
    dataset: str
    hardware: Hardware
    base: Base
    changes: Sequence[Change]
    layers: Sequence[LayerRow]
    described: bool
    layer: LayerFigures | None
    cost: CostSection
    analyses: Sequence[Analysed]
    epochs: Mapping[str, Sequence[EpochView]]
    events: Sequence[Told]
    artifacts: Sequence[ArtifactView]
    snippets: Snippets
    execution: Mapping[str, Any]

    @property
    def is_open(self) -> bool:
        """Whether its state will change."""
        return self.job.state not in FINAL

    @property
    def actions(self) -> frozenset[str]:
        """What can be done with it now."""
        if self.job.state == JobState.SUCCEEDED:
            return frozenset({"extend", "delete"})
        if self.job.state in FINAL:
            return frozenset({"retry", "delete"})
        return frozenset() if self.job.state == JobState.CANCELLING else frozenset({"cancel"})


def job_page(pages: Pages, job_id: str, layer: str | None, profile: str | None = None) -> JobPage:
    """Return the page of a job; NotFound if there is none.

    Args:
        pages: the request's.
        job_id: which job.
        layer: the name of the layer that is looked at closely; None for the one with the worst signal.
        profile: by which an inference is priced, in the place of the job's own hardware.
    """
    session, services = pages.session, pages.services
    service = JobService(session)
    job = service.get(job_id)
    queue = service.queue(job, services.settings)
    view = views.job_view(job, queue)
    model = ModelService(session).models.get(job.model_id)
    artifacts = views.artifacts_view(job, service.jobs.artifacts(job.id)).items
    conversion = _conversion(service, job, artifacts, services.blobs)
    base = base_of(job.spec.get("rpu_config"), job.effective_config, session)
    return JobPage(
        job=view,
        chips=chips_of(session, job),
        version=job.version,
        name=name_of(job),
        state_words=state_words(job, view.progress),
        waits=_waits(job, view, PageRepository(session)),
        advice=_advice(job),
        model=model.name if model is not None else "a deleted model",
        dataset=_dataset(job, DatasetService(session)),
        hardware=hardware(job.spec),
        base=base,
        changes=changes(base.effective, job.effective_config),
        layers=layer_rows({} if model is None else model.report, conversion),
        described=conversion is not None,
        layer=layer_figures(conversion, layer),
        cost=cost_section(pages, job, profile),
        analyses=analysed(session, job),
        epochs=_by_variant(views.history_view(job, service.jobs.epochs(job.id)).epochs),
        events=[
            told(event)
            for event in PageRepository(session).latest_events(job.id, without=TOO_MANY, limit=_EVENTS)
        ],
        artifacts=artifacts,
        snippets=snippets(job.spec, str(pages.request.base_url).rstrip("/")),
        execution=job.execution,
    )


def _conversion(
    service: JobService, job: Job, artifacts: Sequence[ArtifactView], blobs: BlobStore
) -> dict[str, Any] | None:
    if all(artifact.name != _CONVERSION for artifact in artifacts):
        return None
    return read_conversion(blobs, service.artifact(job.id, _CONVERSION).blob_key)


def _dataset(job: Job, datasets: DatasetService) -> str:
    try:
        return datasets.view(job.dataset_ref).name
    except NotFound:
        return "a deleted dataset"


def _by_variant(epochs: Sequence[EpochView]) -> dict[str, list[EpochView]]:
    found: dict[str, list[EpochView]] = {}
    for epoch in epochs:
        found.setdefault(epoch.variant, []).append(epoch)
    return found


def _waits(job: Job, view: JobView, repository: PageRepository) -> str:
    """Say what a queued job waits for: `2 jobs ahead, about 40 s. All workers have other work items.`."""
    if view.queue is None:
        return ""
    reason = words.WAITS[view.queue.reason]
    left, speed = repository.work_before(job)
    ahead = view.queue.position - 1
    before = words.plural(ahead, "job") + " ahead" if ahead else "next in the queue"
    time = f", {words.about(left / speed)}" if speed and left else ""
    return f"{before[0].upper()}{before[1:]}{time}. {reason}"


def _advice(job: Job) -> str | None:
    if job.failure is None:
        return None
    fallback = (
        "Retry; what was computed is taken over."
        if job.failure.get("retryable")
        else "Clone the job, change what the message names, and submit it again."
    )
    return words.ADVICE.get(job.failure.get("code", ""), fallback)

"""Jobs as clients write and read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator

from app.configs.schemas import StoredReference, is_reference
from app.cost.requests import HardwareSpec
from app.cost.schemas import CostView
from app.engine.states import JobState
from app.kit.query import QueryModel
from simulator.config import (
    PRESETS,
    InferenceRPUConfig,
    StrictModel,
    resolve,
)
from simulator.config.analyses import AnalysisConfig
from simulator.config.base import custom_error, nearest
from simulator.config.evaluation import MAX_TIMES, Repeats
from simulator.config.job import JobSpec
from simulator.config.times import TimeAfterProgramming
from simulator.cost import resolve_hardware

# JSON has no infinity: what was not finite is absent.
FiniteOrNull = Annotated[
    float | None,
    BeforeValidator(lambda value: None if isinstance(value, float) and not isfinite(value) else value),
]
LONGEST_WAIT_S = 60.0
Tag = Annotated[str, Field(min_length=1, max_length=64)]

EXAMPLE: dict[str, Any] = {
    "name": "Digits on PCM",
    "tags": ["pcm"],
    "model": "0192f0c1-6f3e-7a53-9f0e-2b1d6c1f9a10",
    "dataset": "builtin:mnist10k",
    "rpu_config": {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.04}}},
    "evaluate": {"t_inference": [1, 3600, 86400], "repeats": 10, "variants": ["digital", "direct"]},
    "analyses": [{"type": "error_budget"}],
    "seed": 42,
}
_OUTPUTS = (
    "a job computes the output that its model has; choose it when the model is uploaded, with "
    "POST /v1/models?outputs=<name>, and name that model in the job"
)


def _not_a_name(value: object) -> object:
    """Explain how to name a preset to a client that writes its name alone."""
    if not isinstance(value, str):
        return value
    name = value if value in PRESETS else nearest(value, PRESETS)
    written = json.dumps({"preset": name or "PCMExamplePreset"})
    known = "" if name else f"; the presets are {', '.join(sorted(PRESETS))}"
    hint = f"write {written}{known}"
    raise custom_error("dict_type", "an RPU configuration is an object, not a name", hint=hint)


class SubmitQuery(QueryModel):
    """How a job is submitted."""

    dry_run: Annotated[bool, Field(description="Check the job and estimate its time without storing it.")] = (
        False
    )


class JobQuery(QueryModel):
    """How a job is read."""

    wait: Annotated[
        float,
        Field(
            ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for another version; needs `If-None-Match`."
        ),
    ] = 0


class JobCreate(JobSpec):
    """A job: which model on which data and hardware, and how it is evaluated."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(("outputs", "output"), _OUTPUTS)

    name: str | None = Field(default=None, max_length=200, description="Name of the job, for people.")
    tags: tuple[Tag, ...] = Field(default=(), max_length=20, description="Labels of the job, for filters.")
    model: str = Field(description="Id of an uploaded model.")
    dataset: str = Field(
        description="Name of a built-in dataset such as `builtin:mnist10k`, or id of an uploaded one."
    )
    rpu_config: Annotated[dict[str, Any], BeforeValidator(_not_a_name)] = Field(
        description="RPU configuration; or a preset or a stored configuration, with overrides:"
        ' `{"preset": name, "overrides": {...}}`, `{"stored": id, "overrides": {...}}`.'
    )
    hardware: HardwareSpec | None = Field(
        default=None,
        description="Hardware profile by which an inference's cost is estimated; it changes no number of "
        'the job. Or the name of one, with overrides: `{"profile": name, "overrides": {...}}`.',
    )
    priority: int = Field(
        default=0,
        ge=-100,
        le=100,
        strict=True,
        description="Of a project's jobs, those of higher priority come first; of equal ones, the one with "
        "the least work left.",
    )

    _config: InferenceRPUConfig | None = PrivateAttr(default=None)

    @field_validator("rpu_config")
    @classmethod
    def _check_config(cls, value: dict[str, Any]) -> dict[str, Any]:
        if is_reference(value):
            StoredReference.model_validate(value)  # what it refers to is looked up by the checks
        else:
            resolve(value)
        return value

    @field_validator("hardware")
    @classmethod
    def _check_hardware(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            resolve_hardware(value)
        return value

    def use_config(self, config: InferenceRPUConfig) -> None:
        """Set the stored configuration that `rpu_config` refers to."""
        self._config = config

    @property
    def config(self) -> InferenceRPUConfig:
        """The configuration that `rpu_config` describes; a stored one is set after it was looked up."""
        if self._config is None:
            self._config = resolve(self.rpu_config)
        return self._config


class JobExtend(StrictModel):
    """More chips, times or analyses for a finished job."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"repeats": 50, "t_inference": [1, 3600, 31536000]}]}
    )

    repeats: Repeats | None = Field(default=None, description="Number of chips in all, not in addition.")
    t_inference: tuple[TimeAfterProgramming, ...] = Field(
        default=(), max_length=MAX_TIMES, description="Additional times after programming, in s."
    )
    analyses: tuple[AnalysisConfig, ...] = Field(
        default=(), description="Analyses of the job; one takes the place of one of its type."
    )


class LeastView(BaseModel):
    """What a job whose repeats go on until the metric is known does whatever it finds."""

    cells: int = Field(description="Cells of its first wave of chips.")
    cached_cells: int = Field(description="Those of them that the job takes over from earlier jobs.")
    estimated_seconds: float | None = Field(
        description="Time on one worker if the first wave is enough; null as `estimated_seconds` is."
    )


class DryRunView(BaseModel):
    """What a job would be, without doing it."""

    valid: bool = Field(description="Always true: a job with faults is answered with status 422.")
    tiles: int = Field(description="Tiles of all analog layers.")
    devices: int = Field(description="Devices that hold the weights.")
    utilisation: float = Field(description="Share of the tiles' crosspoints that hold weights.")
    cells: int = Field(description="Cells of the job: analog variants x repeats x times, at the most.")
    cached_cells: int = Field(
        description="Cells that the job takes over from earlier jobs with the same content."
    )
    analysis_cells: int = Field(
        description="Cells that the job's analyses evaluate besides, as far as they can be planned."
    )
    services: int = Field(
        description="Services of `evaluate.maintenance` that must be run, over all chips and analog variants."
    )
    at_least: LeastView | None = Field(
        default=None,
        description="What the job does at the least, where `evaluate.repeats` says what must be known; the"
        " other numbers are then those of `at_most` chips. Null where the number of chips is fixed.",
    )
    estimated_seconds: float | None = Field(
        description="Time on one worker at its measured speed, without the cells that are taken over;"
        " null before a worker has measured its speed."
    )
    cost: CostView | None = Field(
        default=None,
        description="What one inference costs on the job's `hardware`; null where it names none.",
    )
    warnings: list[dict[str, Any]] = Field(
        description="What is probably not intended, each with pointer, code and message."
    )


class Progress(BaseModel):
    """Progress of a job, counted in samples passed through a network."""

    done: int = Field(description="Samples that were passed through a network.")
    total: int = Field(description="Samples of the whole job.")
    fraction: float = Field(ge=0, le=1, description="Share of the work that is done, 0 to 1.")
    eta_seconds: float | None = Field(
        description="Estimate at the time of the last progress, from the speed so far; null before the first "
        "progress."
    )


class WaitReason(StrEnum):
    """Why a queued job waits."""

    NO_WORKER = "no_worker"
    NO_WORKER_IS_ABLE = "no_worker_is_able"
    WORKERS_TAKE_NO_WORK = "workers_take_no_work"
    WORKERS_ARE_BUSY = "workers_are_busy"


class QueueView(BaseModel):
    """What a queued job waits for."""

    position: int = Field(ge=1, description="Place in the queue; the job at 1 starts next.")
    reason: WaitReason = Field(
        description="`no_worker`: no worker has reported lately. `no_worker_is_able`: no worker has the "
        "device or the loops that the job needs. `workers_take_no_work`: `/v1/workers` says why. "
        "`workers_are_busy`: all workers have other items."
    )


class FailureView(BaseModel):
    """Why a job failed."""

    code: str = Field(description="Why the job failed, as a word that stays the same.")
    message: str = Field(description="Why the job failed and what to do, in words.")
    retryable: bool = Field(description="Whether a retry may succeed.")
    item: str | None = Field(default=None, description="Work item that failed.")


class Links(BaseModel):
    """Paths of a job's parts."""

    self: str = Field(description="The job itself.")
    results: str = Field(description="Accuracy over time.")
    summary: str = Field(description="The result in words.")
    lifetime: str = Field(description="How long chips hold a threshold.")
    report: str = Field(description="All of it as one HTML file.")
    history: str = Field(description="Fine-tuning, epoch by epoch.")
    analyses: str = Field(description="What else was asked of the job.")
    events: str = Field(description="What happened to the job.")
    artifacts: str = Field(description="The files that the job made.")
    cost: str = Field(description="Energy, latency and area of an inference.")


class JobView(BaseModel):
    """A job."""

    id: str = Field(description="Id of this job, a UUID of version 7.")
    name: str | None = Field(description="Name of the job, for people; null if it has none.")
    tags: list[str] = Field(description="Labels of the job, for filters.")
    state: JobState = Field(description="State of the job.")
    phase: str | None = Field(
        description="Kind of the work item that was started last: verify, calibrate, finetune, baseline, "
        "evaluate, describe, analyse."
    )
    progress: Progress = Field(description="How much of the work is done.")
    spec: dict[str, Any] = Field(description="Specification of the job, with defaults filled in.")
    effective_config: dict[str, Any] = Field(
        description="The RPU configuration with every field, as the job uses it."
    )
    config_hash: str = Field(
        description="Hash of the effective configuration: equal hashes mean equal hardware."
    )
    seed: int = Field(description="Seed of every random draw.")
    attempt: int = Field(description="Number of the attempt: 1 for a job that is no retry.")
    created_at: datetime = Field(description="When this job was made.")
    queued_at: datetime | None = Field(description="When the job began to wait for a worker.")
    started_at: datetime | None = Field(description="When a worker began the job; null before.")
    finished_at: datetime | None = Field(description="When the job reached a final state; null before.")
    failure: FailureView | None = Field(description="Why the job failed; null unless it did.")
    warnings: list[dict[str, Any]] = Field(
        description="What is probably not intended, each with pointer, code and message."
    )
    retry_of: str | None = Field(description="Job that this one repeats.")
    extends: str | None = Field(description="Job that this one extends by chips or times.")
    queue: QueueView | None = Field(
        default=None, description="What a queued job waits for; null for other jobs and in lists."
    )
    cached_from: list[str] = Field(description="Jobs whose results were taken over instead of computed.")
    links: Links = Field(description="Paths of the job's parts.")


class EpochView(BaseModel):
    """One fine-tuning epoch."""

    variant: str = Field(description="Which network: `digital`, `direct`, `hwa` or `control`.")
    epoch: int = Field(description="Number of the epoch, from 0.")
    train_loss: FiniteOrNull = Field(
        description="Mean loss over the epoch's samples; null if it was not finite."
    )
    train_accuracy: float | None = Field(
        description="Accuracy over the epoch's samples under noise; null for a regression."
    )
    validation_loss: FiniteOrNull = Field(
        description="Mean loss of the validation under noise; null without validation_fraction, and if it "
        "was not finite."
    )
    validation_accuracy: float | None = Field(
        description="Accuracy of the validation under noise; null without validation_fraction, and for a "
        "regression."
    )
    learning_rate: float = Field(description="Learning rate at the end of the epoch.")
    seconds: float = Field(description="Seconds that the epoch took.")
    finished_at: datetime = Field(description="When the epoch ended.")


class HistoryView(BaseModel):
    """The fine-tuning epochs of a job."""

    job: str = Field(description="Id of the job.")
    epochs: list[EpochView] = Field(description="The epochs of all variants, in order.")


class EventView(BaseModel):
    """Something that happened to a job."""

    seq: int = Field(description="Version of the job at the time of the event. It grows, with gaps.")
    type: str = Field(description="Kind of the event, such as `job.succeeded`.")
    data: dict[str, Any] = Field(description="What happened, in fields that depend on the type.")
    created_at: datetime = Field(description="When this event was made.")


class ArtifactView(BaseModel):
    """A file that a job made."""

    name: str = Field(description="Name of the file.")
    media_type: str = Field(description="Media type of the file.")
    size_bytes: int | None = Field(description="Null for the report, which is rendered when it is read.")
    sha256: str | None = Field(description="Null for the report.")
    created_at: datetime = Field(description="When the job wrote the file.")
    url: str = Field(description="Path at which the file is.")


class ArtifactsView(BaseModel):
    """The files of a job."""

    job: str = Field(description="Id of the job.")
    items: list[ArtifactView] = Field(description="The files, the report last.")

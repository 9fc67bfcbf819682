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
from app.engine.states import JobState
from app.kit.query import QueryModel
from simulator.config import (
    PRESETS,
    InferenceRPUConfig,
    StrictModel,
    resolve,
)
from simulator.config.base import custom_error, nearest
from simulator.config.evaluation import MAX_TIMES, Repeats, TimeAfterProgramming
from simulator.config.job import JobSpec

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
    "seed": 42,
}
_OUTPUTS = (
    "a job computes the output that its model has; choose it when the model is uploaded, with "
    "POST /v1/models?outputs=<name>, and name that model in the job"
)


def _not_a_name(value: object) -> object:
    """Say how a preset is named to whom writes its name alone."""
    if not isinstance(value, str):
        return value
    name = value if value in PRESETS else nearest(value, PRESETS)
    written = json.dumps({"preset": name or "PCMExamplePreset"})
    known = "" if name else f"; the presets are {', '.join(sorted(PRESETS))}"
    hint = f"write {written}{known}"
    raise custom_error("dict_type", "an RPU configuration is an object, not a name", hint=hint)


class SubmitQuery(QueryModel):
    """How a job is submitted."""

    dry_run: Annotated[bool, Field(description="Check and estimate only.")] = False


class JobQuery(QueryModel):
    """How a job is read."""

    wait: Annotated[
        float,
        Field(
            ge=0, le=LONGEST_WAIT_S, description="With `If-None-Match`: seconds to wait for another version."
        ),
    ] = 0


class JobCreate(JobSpec):
    """A job: whose model, on what data, on which hardware, evaluated how."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})
    elsewhere: ClassVar[Mapping[str, str]] = dict.fromkeys(("outputs", "output"), _OUTPUTS)

    name: str | None = Field(default=None, max_length=200, description="A name for people.")
    tags: tuple[Tag, ...] = Field(default=(), max_length=20, description="Labels to filter by.")
    model: str = Field(description="The id of an uploaded model.")
    dataset: str = Field(
        description="A built-in dataset such as `builtin:mnist10k`, or an uploaded one's id."
    )
    rpu_config: Annotated[dict[str, Any], BeforeValidator(_not_a_name)] = Field(
        description="An RPU configuration; or a preset or a stored configuration, in part replaced:"
        ' `{"preset": name, "overrides": {...}}`, `{"stored": id, "overrides": {...}}`.'
    )
    priority: int = Field(default=0, ge=-100, le=100, strict=True, description="Higher goes first.")

    _config: InferenceRPUConfig | None = PrivateAttr(default=None)

    @field_validator("rpu_config")
    @classmethod
    def _check_config(cls, value: dict[str, Any]) -> dict[str, Any]:
        if is_reference(value):
            StoredReference.model_validate(value)  # what it refers to is looked up by the checks
        else:
            resolve(value)
        return value

    def use_config(self, config: InferenceRPUConfig) -> None:
        """Have `rpu_config` mean this, which was stored."""
        self._config = config

    @property
    def config(self) -> InferenceRPUConfig:
        """The configuration that `rpu_config` means; a stored one is known once it was looked up."""
        if self._config is None:
            self._config = resolve(self.rpu_config)
        return self._config


class JobExtend(StrictModel):
    """More of a finished job."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"repeats": 50, "t_inference": [1, 3600, 31536000]}]}
    )

    repeats: Repeats | None = Field(default=None, description="Chip instances in all, not in addition.")
    t_inference: tuple[TimeAfterProgramming, ...] = Field(
        default=(), max_length=MAX_TIMES, description="Further times in s."
    )


class DryRunView(BaseModel):
    """What a job would be, without doing it."""

    valid: bool
    tiles: int = Field(description="Crossbars of all analog layers.")
    devices: int = Field(description="Conductances that hold the weights.")
    utilisation: float = Field(description="Share of the tiles' cells that hold weights.")
    cells: int = Field(description="Variants x repeats x times.")
    cached_cells: int = Field(
        description="Cells that earlier jobs with the same content have, so that they are not computed."
    )
    estimated_seconds: float | None = Field(
        description="On one worker, by its measured speed, without what earlier jobs have;"
        " null before a worker has measured its speed."
    )
    warnings: list[dict[str, Any]]


class Progress(BaseModel):
    """How far a job is, counted in samples passed through a network."""

    done: int
    total: int
    fraction: float = Field(ge=0, le=1)
    eta_seconds: float | None = Field(
        description="As of the last progress, at the speed so far; null before there is one."
    )


class WaitReason(StrEnum):
    """Why a queued job waits."""

    NO_WORKER = "no_worker"
    NO_WORKER_IS_ABLE = "no_worker_is_able"
    WORKERS_TAKE_NO_WORK = "workers_take_no_work"
    WORKERS_ARE_BUSY = "workers_are_busy"


class QueueView(BaseModel):
    """What a queued job waits for."""

    position: int = Field(ge=1, description="1: of the jobs that wait, it is the next to be begun.")
    reason: WaitReason = Field(
        description="`no_worker`: none has been heard of lately. `no_worker_is_able`: none has the device or "
        "the loops that the job needs. `workers_take_no_work`: `/v1/workers` says why. `workers_are_busy`: "
        "all have other items."
    )


class FailureView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool
    item: str | None = None


class Links(BaseModel):
    """Where a job's parts are."""

    self: str
    results: str
    summary: str
    lifetime: str
    report: str
    history: str
    events: str
    artifacts: str


class JobView(BaseModel):
    """A job."""

    id: str
    name: str | None
    tags: list[str]
    state: JobState
    phase: str | None = Field(
        description="What was last begun: verify, calibrate, finetune, baseline, evaluate, describe."
    )
    progress: Progress
    spec: dict[str, Any] = Field(description="What was asked for, defaults filled in.")
    effective_config: dict[str, Any]
    config_hash: str
    seed: int
    attempt: int
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    failure: FailureView | None
    warnings: list[dict[str, Any]]
    retry_of: str | None = Field(description="The job that this one tries again.")
    extends: str | None = Field(description="The job that this one has more repeats or times of.")
    queue: QueueView | None = Field(
        default=None, description="Why it waits and how long the queue is; null unless queued, and in lists."
    )
    cached_from: list[str] = Field(description="Jobs whose cells were taken over instead of computed.")
    links: Links


class EpochView(BaseModel):
    """One fine-tuning epoch."""

    variant: str
    epoch: int
    train_loss: FiniteOrNull = Field(description="Mean over the epoch's samples; null if it was not finite.")
    train_accuracy: float | None
    validation_loss: FiniteOrNull = Field(
        description="Under noise; null without validation_fraction, and if it was not finite."
    )
    validation_accuracy: float | None = Field(description="Under noise; null for a regression too.")
    learning_rate: float
    seconds: float
    finished_at: datetime


class HistoryView(BaseModel):
    """The fine-tuning epochs of a job."""

    job: str
    epochs: list[EpochView]


class EventView(BaseModel):
    """Something that happened to a job."""

    seq: int = Field(description="The job's version at the time; grows, with gaps.")
    type: str
    data: dict[str, Any]
    created_at: datetime


class ArtifactView(BaseModel):
    """A file that a job made."""

    name: str
    media_type: str
    size_bytes: int | None = Field(description="Null for the report, which is rendered when it is read.")
    sha256: str | None = Field(description="Null for the report.")
    created_at: datetime
    url: str


class ArtifactsView(BaseModel):
    """The files of a job."""

    job: str
    items: list[ArtifactView]

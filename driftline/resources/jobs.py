"""Jobs, without what one can do with them: the two clients add that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from driftline.resources.record import Record

FINAL_STATES: Final = frozenset({"succeeded", "failed", "cancelled"})


class Progress(Record):
    """How far a job is, counted in samples passed through a network."""

    done: int
    total: int
    fraction: float
    eta_seconds: float | None


class Failure(Record):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool
    item: str | None


class JobRecord(Record):
    """A job as the service shows it."""

    _parts: ClassVar[Mapping[str, Any]] = {
        "progress": Progress,
        "failure": Failure,
        "created_at": datetime.fromisoformat,
        "queued_at": datetime.fromisoformat,
        "started_at": datetime.fromisoformat,
        "finished_at": datetime.fromisoformat,
    }

    id: str
    name: str | None
    tags: list[str]
    state: str
    phase: str | None
    progress: Progress
    spec: dict[str, Any]
    effective_config: dict[str, Any]
    config_hash: str
    seed: int
    attempt: int
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    failure: Failure | None
    warnings: list[dict[str, Any]]
    retry_of: str | None
    extends: str | None
    queue: dict[str, Any] | None
    cached_from: list[str]
    links: dict[str, str]

    @property
    def has_ended(self) -> bool:
        """Whether the state is final."""
        return self["state"] in FINAL_STATES

    @property
    def succeeded(self) -> bool:
        """Whether the job has ended with success."""
        return bool(self["state"] == "succeeded")

    def _renew(self, data: Mapping[str, Any]) -> Self:
        """Show from now on what was read newly; return the same job."""
        object.__setattr__(self, "_data", dict(data))
        return self

    def _told(self) -> list[str]:
        told = [self["id"], *([repr(self["name"])] if self.get("name") else []), self["state"]]
        if self["state"] == "running":
            told.append(f"{self['progress']['fraction']:.0%}")
        return told

    def _repr_html_(self) -> str:
        from driftline import html

        return html.job(self)


class Event(Record):
    """Something that happened to a job; `seq` grows with each."""

    _parts: ClassVar[Mapping[str, Any]] = {"created_at": datetime.fromisoformat}

    seq: int
    type: str
    data: dict[str, Any]
    created_at: datetime


class Epoch(Record):
    """One fine-tuning epoch."""

    _parts: ClassVar[Mapping[str, Any]] = {"finished_at": datetime.fromisoformat}

    variant: str
    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    seconds: float
    finished_at: datetime


class DryRun(Record):
    """What a job would be."""

    valid: bool
    tiles: int
    devices: int
    utilisation: float
    cells: int
    cached_cells: int
    estimated_seconds: float | None
    cost: dict[str, Any] | None
    warnings: list[dict[str, Any]]


class Artifact(Record):
    """A file that a job made."""

    _parts: ClassVar[Mapping[str, Any]] = {"created_at": datetime.fromisoformat}

    name: str
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    url: str

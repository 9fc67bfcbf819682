"""What operators read about the service."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class Live(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Check(BaseModel):
    """One part that the service needs."""

    status: Literal["ok", "degraded", "failed"]
    detail: str | None = Field(default=None, description="What is wrong.")


class Readiness(BaseModel):
    """Whether requests can be served; `degraded` serves them, with less behind it."""

    status: Literal["ok", "degraded", "failed"]
    checks: dict[str, Check]


class WorkerView(BaseModel):
    """A worker process that has been seen."""

    id: str
    hostname: str
    pid: int
    concurrency: int = Field(description="Work items at once.")
    running_items: int = Field(description="Work items that it holds now.")
    alive: bool = Field(description="Whether the worker has reported lately.")
    able: list[str] | None = Field(
        default=None, description="Abilities of the worker: devices and loops, as jobs need them."
    )
    idle_reason: str | None = Field(
        default=None, description="Why the worker takes no work; null when it does."
    )
    started_at: datetime
    last_seen_at: datetime


class WorkerList(BaseModel):
    """All workers that are known, the latest report first."""

    items: list[WorkerView]

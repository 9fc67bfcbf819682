"""What operators read about the service."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class Live(BaseModel):
    """The process answers."""

    status: Literal["ok"] = Field(default="ok", description="Always `ok`: the process answers.")


class Check(BaseModel):
    """One part that the service needs."""

    status: Literal["ok", "degraded", "failed"] = Field(description="Whether this part works.")
    detail: str | None = Field(default=None, description="What is wrong.")


class Readiness(BaseModel):
    """Whether requests can be served; `degraded` serves them, with less behind it."""

    status: Literal["ok", "degraded", "failed"] = Field(
        description="`ok`, or `degraded` where jobs are taken and something else does not work."
    )
    checks: dict[str, Check] = Field(description="The parts that were looked at, by name.")


class WorkerView(BaseModel):
    """A worker process that has been seen."""

    id: str = Field(description="Id of this worker process, a UUID of version 7.")
    hostname: str = Field(description="Machine that the worker runs on.")
    pid: int = Field(description="Number of its process on that machine.")
    concurrency: int = Field(description="Work items at once.")
    running_items: int = Field(description="Work items that it holds now.")
    alive: bool = Field(description="Whether the worker has reported lately.")
    version: str | None = Field(
        default=None, description="Version of the product that it runs; null for one before 0.2."
    )
    able: list[str] | None = Field(
        default=None, description="Abilities of the worker: devices and loops, as jobs need them."
    )
    idle_reason: str | None = Field(
        default=None, description="Why the worker takes no work; null when it does."
    )
    started_at: datetime = Field(description="When the worker started.")
    last_seen_at: datetime = Field(description="When the worker last reported.")


class WorkerList(BaseModel):
    """All workers that are known, the latest report first."""

    items: list[WorkerView] = Field(description="The worker processes that are known.")

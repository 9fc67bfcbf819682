"""The page of workers: who is there, what each does now, and why each waiting job waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from app.db.tables import Speed
from app.engine.abilities import AUTO
from app.health.roster import workers
from app.health.schemas import WorkerView
from app.jobs.repository import JobRepository
from app.jobs.service import waits_for
from app.pages import words
from app.pages.repository import OpenItem, PageRepository
from app.pages.views.events import item_words
from app.pages.views.job_list import name_of
from app.settings import Settings

_QUEUED: Final = 100
_BILLION: Final = 1e9


@dataclass(frozen=True)
class Doing:
    """What a worker does now."""

    job_id: str
    job: str
    words: str


@dataclass(frozen=True)
class WorkerRow:
    """A worker.

    Attributes:
        worker: as the API has it.
        doing: its work items.
        able: what it can do, in words.
        speed: multiply-accumulates per second through tiles, in words; None before it was measured.
    """

    worker: WorkerView
    doing: Sequence[Doing]
    able: str
    speed: str | None


@dataclass(frozen=True)
class QueueRow:
    """A job that waits."""

    id: str
    name: str
    priority: int
    created_at: object
    why: str


@dataclass(frozen=True)
class WorkersPage:
    """Workers and the queue."""

    workers: Sequence[WorkerRow]
    queue: Sequence[QueueRow]


def workers_page(session: Session, settings: Settings) -> WorkersPage:
    """Return the page of workers."""
    repository, jobs = PageRepository(session), JobRepository(session)
    doing: dict[str | None, list[Doing]] = {}
    for item in repository.running_items():
        doing.setdefault(item.owner, []).append(_doing(item))
    speeds = {speed.hostname: speed for speed in jobs.speeds()}
    alive = jobs.workers_alive(settings.worker_silence_s)
    return WorkersPage(
        workers=[
            WorkerRow(one, doing.get(one.id, []), _able(one.able), _speed(speeds.get(one.hostname)))
            for one in workers(session, settings)
        ],
        queue=[
            QueueRow(job.id, name_of(job), job.priority, job.created_at, words.WAITS[waits_for(job, alive)])
            for job in repository.queued_jobs(_QUEUED)
        ],
    )


def _doing(item: OpenItem) -> Doing:
    return Doing(item.job_id, item.job_name or f"job {item.job_id[-8:]}", item_words(item.key))


def _able(abilities: Sequence[str] | None) -> str:
    """Return devices and loops in words: `cpu; compiled or plain loops`."""
    if not abilities:
        return "anything"
    pairs = [ability.split("/") for ability in abilities]
    devices = sorted({device for device, _ in pairs} - {AUTO}) or [AUTO]
    return f"{', '.join(devices)}; {' or '.join(sorted({loops for _, loops in pairs}))} loops"


def _speed(speed: Speed | None) -> str | None:
    """Return how fast a machine computes, in billions of multiply-accumulates per second."""
    seconds = None if speed is None else speed.measured.get("evaluate", {}).get("static", {}).get("mac")
    return f"{1 / seconds / _BILLION:.2g} billion multiply-accumulates per second" if seconds else None

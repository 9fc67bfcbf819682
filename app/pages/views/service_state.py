"""The state of the service in a few words, for the header of every page."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.engine.states import JobState
from app.health.roster import workers_alive
from app.pages.repository import PageRepository
from app.pages.words import plural
from app.settings import Settings


@dataclass(frozen=True)
class ServiceState:
    """How many workers and jobs there are.

    Attributes:
        workers: that have reported lately.
        running: jobs that are worked on.
        queued: jobs that wait.
    """

    workers: int
    running: int
    queued: int

    @property
    def words(self) -> str:
        """The state in words."""
        workers = plural(self.workers, "worker") if self.workers else "no worker"
        jobs = [f"{self.running} running"] if self.running else []
        jobs += [f"{self.queued} queued"] if self.queued else []
        return f"{workers}, {' and '.join(jobs) if jobs else 'no job waits'}"


def service_state(session: Session, settings: Settings) -> ServiceState:
    """Return the state of the service."""
    counts = PageRepository(session).open_jobs()
    running = counts.get(JobState.RUNNING, 0) + counts.get(JobState.CANCELLING, 0)
    return ServiceState(workers_alive(session, settings), running, counts.get(JobState.QUEUED, 0))

"""How a job goes on when all its items have succeeded: waves of chips first, then its analyses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.db.tables import Job, WorkItem
from app.engine.kinds.analyses import plan as analyses
from app.engine.kinds.inference import repeats
from simulator.config.job import JobSpec


@dataclass(frozen=True)
class Finished:
    """What the next items follow from.

    Attributes:
        waves: what the chips have found; None where their number is fixed.
        analyses: what the analyses have found; None where there are none.
    """

    waves: repeats.Evaluated | None
    analyses: analyses.Finished | None


def finished(session: Session, job: Job) -> Finished | None:
    """Return what a job has found; None where it does not go on, whatever it found."""
    found = Finished(repeats.evaluated(session, job), analyses.finished(session, job))
    return None if found == Finished(None, None) else found


def next_items(spec: JobSpec, found: Finished) -> Sequence[WorkItem]:
    """Return the next items; none ends the job. It reads nothing but its arguments.

    Analyses begin when there are chips enough.
    """
    asked = found.analyses
    if found.waves is not None:
        more = repeats.next_items(spec, found.waves)
        if more:
            return more
        if asked is not None:
            asked = replace(asked, test_samples=found.waves.how.test_samples)
            first = (
                [] if asked.items else analyses.first_items(asked.subject, asked.test_samples, lambda _: ())
            )
            if first:
                return first
    return () if asked is None else analyses.next_items(spec, asked)

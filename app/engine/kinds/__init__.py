"""The kinds of work that a job can be, each with a package of its own, and how a job goes on in rounds.

A kind's package holds its plan, its key of reuse and its results; `worker.items` has the handlers of its
items. What a job does first is planned when it is submitted. A kind that looks at what was found before it
plans on goes in rounds: when all items of a job have succeeded, the transaction that says so asks for the
next ones. They are a pure function of the specification and of finished results, so a kill changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import Job, WorkItem
from app.engine.kinds.inference import repeats, reuse, rounds, warnings
from app.engine.specification import spec_of
from simulator.config.job import JobSpec

INFERENCE = "inference"


@dataclass(frozen=True)
class Rounds:
    """How a kind of work goes on when all items of its job have succeeded.

    Attributes:
        finished: reads what the job has found, in an order that does not depend on who found it; None where
            it does not go on, whatever it found.
        next_items: returns the next items; none ends the job. It reads nothing but its arguments.
        take_over: adds what earlier jobs computed of new items, and marks those that have nothing left to do;
            None where they do not ask.
    """

    finished: Callable[[Session, Job], Any]
    next_items: Callable[[JobSpec, Any], Sequence[WorkItem]]
    take_over: Callable[[Session, Job, Sequence[WorkItem]], None] | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of work.

    Attributes:
        rounds: how it goes on; None where all its items are planned at submission.
        conclude: each says something of its results when a job ends with success.
    """

    rounds: Rounds | None = None
    conclude: Sequence[Callable[[Session, Job], None]] = ()


KINDS: dict[str, Kind] = {
    INFERENCE: Kind(
        Rounds(rounds.finished, rounds.next_items, reuse.take_over_round),
        (warnings.warn_of_chance, warnings.warn_of_non_finite, repeats.warn_of_width),
    )
}


def next_round(session: Session, job: Job) -> Sequence[WorkItem]:
    """Return what follows when all items of a locked job have succeeded; nothing where the job has ended."""
    kind = KINDS[job.kind]
    more: Sequence[WorkItem] = ()
    if kind.rounds is not None:
        found = kind.rounds.finished(session, job)
        more = () if found is None else kind.rounds.next_items(spec_of(job), found)
        if more and kind.rounds.take_over is not None:
            kind.rounds.take_over(session, job, more)
    if not more:
        for say in kind.conclude:
            say(session, job)
    return more

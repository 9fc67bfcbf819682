"""What is said of a job's results beyond the numbers of single times: lifetime, yield, words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from app.cost.jobs import NoCostError, job_cost
from app.db.blobs import BlobStore
from app.db.tables import Job
from app.engine.kinds.inference.repeats import chips_of
from app.engine.specification import classes_of, task_of
from app.results import words
from app.results.lifetime import Life, lives
from app.results.reader import ResultReader, Summary
from app.results.thresholds import Threshold, ThresholdQuery, threshold_of
from simulator.config import Variant
from simulator.config.evaluation import RepeatsUntil
from simulator.config.maintenance import MaintenanceRule
from simulator.config.tasks import Metric, Task

if TYPE_CHECKING:
    from app.results.cells import Cells


@dataclass(frozen=True)
class JobFacts:
    """What findings need to know of a job besides its results.

    Attributes:
        job_id: its id.
        state: its state.
        task: what its network is asked to do.
        cells_total: cells that it asks for.
        classes: among which the network chooses; None where it does not, or where the dataset is gone.
        cost: of an inference on the hardware that the job names, as the API answers it; None without.
    """

    job_id: str
    state: str
    task: Task
    cells_total: int
    classes: int | None = None
    cost: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, session: Session, job: Job, blobs: BlobStore) -> JobFacts:
        """Return the facts of a job; a specification that is no longer taken is read, too."""
        evaluate = job.spec.get("evaluate", {})
        analog = [one for one in evaluate.get("variants", ()) if one != Variant.DIGITAL]
        cells = len(analog) * len(evaluate.get("t_inference", ())) * chips_of(session, job)
        task = task_of(job)
        classes = classes_of(session, job.dataset_ref) if task.has_classes else None
        return cls(job.id, job.state, task, cells, classes, _cost(session, job, blobs))


def _cost(session: Session, job: Job, blobs: BlobStore) -> Mapping[str, Any] | None:
    try:
        found = job_cost(session, blobs, job)
    except NoCostError:  # `/cost` says why
        return None
    return None if found is None else found.answer


@dataclass(frozen=True)
class Findings:
    """A job's results, measured against a threshold.

    Attributes:
        facts: of the job.
        summary: its results.
        threshold: None where it refers to a digital result that is not there.
        lives: how long chips hold it, by variant; empty without a threshold.
        cells_done: cells that are there.
    """

    facts: JobFacts
    summary: Summary
    threshold: Threshold | None
    lives: list[Life]
    cells_done: int

    def in_words(self) -> words.Summary:
        """Return the sentences that say it."""
        found = words.Found(
            answer=self.summary.answer,
            threshold=self.threshold,
            lives=self.lives,
            state=self.facts.state,
            cells_done=self.cells_done,
            cells_total=self.facts.cells_total,
            classes=self.facts.classes,
            cost=self.facts.cost,
        )
        return words.summarise(found)


async def find(reader: ResultReader, facts: JobFacts, query: ThresholdQuery) -> Findings:
    """Return a job's results, measured against the threshold that a client asks for.

    Raises:
        InvalidRequest: the threshold does not fit the job's metric.
    """
    summary, cells = await reader.with_cells(facts.job_id)
    return await reader.in_turn(lambda: _measured(facts, summary, cells, query))


def _measured(facts: JobFacts, summary: Summary, cells: Cells, query: ThresholdQuery) -> Findings:
    answer = summary.answer
    threshold = threshold_of(Metric(answer["metric"]), answer["baseline"], query)
    asked = answer["repeats_until"]
    until = None if asked is None else RepeatsUntil.model_validate(asked)
    schedule = tuple(MaintenanceRule.model_validate(one) for one in answer.get("maintenance", ()))
    found = [] if threshold is None else lives(facts.task, cells, threshold.value, until, schedule)
    return Findings(facts, summary, threshold, found, len(cells))

"""From analyses to work items, and from what they found to further ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.tables import Job, WorkItem
from app.engine.keys import ItemKey, ItemKind
from app.engine.kinds.analyses import PLANS
from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from app.engine.states import ItemState
from simulator.config import Variant
from simulator.config.analyses import AnalysisConfig, Setting
from simulator.config.job import JobSpec
from simulator.config.services import Service, planned

# Of one analysis and variant: enough to keep several workers busy.
MOST_ITEMS: Final = 16
_LARGEST_PAYLOAD: Final = 64  # settings of an item
Places = list[tuple[int, float]]  # (chip, time in s) of rows


@dataclass(frozen=True)
class Finished:
    """What the next items of analyses follow from.

    Attributes:
        subject: the job.
        measured: by type of analysis.
        planned: the keys of the settings that there are items for, by type and variant.
        items: how many there are, by type and variant.
        test_samples: of a pass over the test set.
    """

    subject: Subject
    measured: Mapping[str, Measured]
    planned: Mapping[tuple[str, str], frozenset[str]]
    items: Mapping[tuple[str, str], int]
    test_samples: int


def first_items(
    subject: Subject, test_samples: int, needs_of: Callable[[Variant], Sequence[ItemKey]]
) -> list[WorkItem]:
    """Return the items that analyses begin with.

    Args:
        subject: the job.
        test_samples: of a pass over the test set.
        needs_of: what must have been done before a variant is evaluated.
    """
    items: list[WorkItem] = []
    for analysis in subject.spec.analyses:
        for variant in analysis.variants_of(subject.spec):
            settings = PLANS[analysis.type].first(analysis, subject, variant)
            needs = [str(one) for one in needs_of(variant)]
            items += _items(analysis, subject.spec, variant, settings, test_samples, needs=needs)
    return items


def finished(session: Session, job: Job) -> Finished | None:
    """Return what a job's analyses have found; None where it has none."""
    if not job.spec.get("analyses"):
        return None
    subject = Subject.read(session, job)
    types = [one.type for one in subject.spec.analyses]
    planned: dict[tuple[str, str], frozenset[str]] = {}
    items: dict[tuple[str, str], int] = {}
    samples = 0
    for item in analysis_items(session, job.id):
        where = (item.payload["analysis"], item.payload["variant"])
        planned[where] = planned.get(where, frozenset()) | {one["key"] for one in item.payload["settings"]}
        items[where] = items.get(where, 0) + 1
        samples = item.payload["samples"]
    measured = {one: Measured.read(session, job, one) for one in types}
    return Finished(subject, measured, planned, items, samples)


def next_items(spec: JobSpec, found: Finished) -> list[WorkItem]:
    """Return the items that follow from what analyses have found; none ends the job."""
    items: list[WorkItem] = []
    for analysis in spec.analyses:
        further = PLANS[analysis.type].further
        if further is None:
            continue
        for variant in analysis.variants_of(spec):
            where = (analysis.type, variant.value)
            known = found.planned.get(where, frozenset())
            wanted = further(analysis, found.subject, variant, found.measured[analysis.type])
            new = [setting for setting in wanted if setting.key not in known]
            begin = found.items.get(where, 0)
            items += _items(analysis, spec, variant, new, found.test_samples, needs=[], begin=begin)
    return items


def analysis_items(session: Session, job_id: str) -> Sequence[WorkItem]:
    """Return the items of a job's analyses."""
    query = select(WorkItem).where(WorkItem.job_id == job_id, WorkItem.kind == ItemKind.ANALYSE)
    return session.scalars(query.order_by(WorkItem.id)).all()


def analysis_cells(items: Iterable[WorkItem], spec: JobSpec) -> int:
    """Return how many passes over the test set the items of analyses have, with what is only looked at."""
    return sum(len(places) * setting.get("passes", 1) for _, setting, places in _settings(items, spec))


def analysis_services(items: Iterable[WorkItem], spec: JobSpec) -> Iterator[tuple[Service, int]]:
    """Yield the services that chips get in the items of analyses, each with the number of chips.

    A setting that judges chips under a schedule of its own has that one, every other the job's.
    """
    by_type = {one.type: one for one in spec.analyses}
    for name, setting, places in _settings(items, spec):
        course = by_type[name].course_of(setting["coordinates"])
        own = (spec.evaluate.maintenance or (), sorted({time_s for _, time_s in places}))
        schedule, times_s = own if course is None else course
        chips = len({chip for chip, _ in places})
        for visit in planned(schedule, times_s):
            yield from ((service, chips) for service in visit.services)


def analysis_rows(items: Iterable[WorkItem], spec: JobSpec) -> int:
    """Return how many rows the items of analyses write: settings times chips times times."""
    return sum(len(places) for _, _, places in _settings(items, spec))


def _settings(items: Iterable[WorkItem], spec: JobSpec) -> Iterator[tuple[str, Mapping[str, Any], Places]]:
    """Yield the settings that the items of analyses have, with their type of analysis and their rows."""
    by_type = {one.type: one for one in spec.analyses}
    for item in items:
        if item.kind == ItemKind.ANALYSE:
            name = item.payload["analysis"]
            for setting in item.payload["settings"]:
                yield name, setting, places_of(by_type[name], spec, setting)


def places_of(analysis: AnalysisConfig, spec: JobSpec, setting: Mapping[str, Any]) -> Places:
    """Return (chip, time in s) of the rows that a setting has, as a payload tells it."""
    chips = 1 if setting.get("observes") else analysis.chips_of(spec)
    return [(chip, t) for chip in range(chips) for t in analysis.times_s(spec)]


def _items(
    analysis: AnalysisConfig,
    spec: JobSpec,
    variant: Variant,
    settings: Sequence[Setting],
    test_samples: int,
    *,
    needs: list[str],
    begin: int = 0,
) -> list[WorkItem]:
    size = min(_LARGEST_PAYLOAD, math.ceil(len(settings) / MOST_ITEMS)) or 1
    parts = [settings[start : start + size] for start in range(0, len(settings), size)]
    return [
        WorkItem(
            key=str(ItemKey(ItemKind.ANALYSE, variant, begin + number, analysis=analysis.type)),
            kind=ItemKind.ANALYSE.value,
            payload=_payload(analysis, variant, part, test_samples),
            needs=needs,
            state=ItemState.BLOCKED if needs else ItemState.QUEUED,
            progress_total=_cells(analysis, spec, part) * test_samples,
        )
        for number, part in enumerate(parts)
    ]


def _cells(analysis: AnalysisConfig, spec: JobSpec, settings: Sequence[Setting]) -> int:
    counted = sum(one.passes for one in settings if not one.observes)
    return counted * analysis.chips_of(spec) * len(analysis.times_s(spec))


def _payload(
    analysis: AnalysisConfig, variant: Variant, settings: Sequence[Setting], samples: int
) -> dict[str, Any]:
    told: list[dict[str, Any]] = [
        {
            "key": one.key,
            "coordinates": dict(one.coordinates),
            **({"observes": True} if one.observes else {}),
            **({"passes": one.passes} if one.passes > 1 else {}),
        }
        for one in settings
    ]
    return {"variant": variant.value, "analysis": analysis.type, "settings": told, "samples": samples}

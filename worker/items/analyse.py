"""Analyse: compute the rows of an analysis, each a setting on a chip at a time after programming."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from app.engine.kinds.analyses import rows
from app.engine.kinds.analyses.plan import places_of
from simulator.config.analyses.base import Course
from simulator.config.tasks import QUANTITIES, TASKS
from simulator.evaluate import evaluate_cells
from simulator.tasks import Score
from worker.items.analyses import NETWORKS, OBSERVERS
from worker.job_models import JobModels
from worker.runner.context import ItemContext


def handle(item: ItemContext) -> None:
    """Compute the missing rows of an item: its settings on all chips at all times of the analysis.

    Streams are keyed by chip, time and batch, never by the setting: all settings have common random numbers.
    """
    models = JobModels(item)
    name, variant = item.payload["analysis"], item.variant
    analysis = next(one for one in models.spec.analyses if one.type == name)
    places = partial(places_of, analysis, models.spec)
    known = item.read(rows.finished_rows, item.job.id, name, variant.value)
    settings = item.payload["settings"]
    counted = {
        (one["key"], *at): one.get("passes", 1)
        for one in settings
        if not one.get("observes")
        for at in places(one)
    }
    item.set_done(sum(passes for row, passes in counted.items() if row in known) * len(models.test))
    for setting in settings:
        done = {(chip, t) for key, chip, t in known if key == setting["key"]}
        missing = [at for at in places(setting) if at not in done]
        if not missing:
            continue
        if setting.get("observes"):
            for t_inference_s, seen in OBSERVERS[name](item, setting["coordinates"], [t for _, t in missing]):
                _save(item, setting, 0, t_inference_s, seen)
            continue
        course = analysis.course_of(setting["coordinates"])
        if course is not None:
            _save_worst(item, models, setting, course, missing)
            continue
        evaluate_cells(
            NETWORKS[name](item, setting["coordinates"]),
            models.test,
            task=models.task,
            repeats=range(analysis.chips_of(models.spec)),
            times_s=analysis.times_s(models.spec),
            batch_size=models.evaluate.batch_size,
            done=done,
            upkeep=models.upkeep(models.evaluate.maintenance),
            on_cell=partial(_save_score, item, setting),
            check_stop=item.check_stop,
            on_batch=item.advance,
        )


def _save_worst(
    item: ItemContext,
    models: JobModels,
    setting: dict[str, Any],
    course: Course,
    places: Sequence[tuple[int, float]],
) -> None:
    """Compute rows of a setting that judges chips at several times: a row is the worst of them."""
    schedule, times_s = course
    model = NETWORKS[item.payload["analysis"]](item, setting["coordinates"])
    for chip, t_inference_s in places:
        found: list[Score] = []
        evaluate_cells(
            model,
            models.test,
            task=models.task,
            repeats=[chip],
            times_s=times_s,
            batch_size=models.evaluate.batch_size,
            upkeep=models.upkeep(schedule),
            on_cell=lambda _repeat, _time_s, result, found=found: found.append(result),  # type: ignore[misc]
            check_stop=item.check_stop,
            on_batch=item.advance,
        )
        worst = max(found, key=partial(_badness, models))
        _save_score(item, setting, chip, t_inference_s, worst)
        item.give_way()


def _badness(models: JobModels, result: Score) -> float:
    quantity = QUANTITIES[TASKS[models.task].metric]
    value = quantity.value(result.counts())
    if value is None:
        return math.inf
    return -value if TASKS[models.task].metric.higher_is_better else value


def _save_score(
    item: ItemContext, setting: dict[str, Any], repeat: int, t_inference_s: float, result: Score
) -> None:
    _save(item, setting, repeat, t_inference_s, result.counts())


def _save(
    item: ItemContext, setting: dict[str, Any], repeat: int, t_inference_s: float, found: Mapping[str, Any]
) -> None:
    item.write(
        rows.save_row,
        setting=setting["key"],
        coordinates=setting["coordinates"],
        repeat=repeat,
        t_inference=t_inference_s,
        counts=found,
        progress_done=item.done,
    )

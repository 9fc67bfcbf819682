"""Analyse: compute the rows of an analysis, each a setting on a chip at a time after programming."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from app.engine.kinds.analyses import rows
from app.engine.kinds.analyses.plan import places_of
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
    counted = {(one["key"], *at) for one in settings if not one.get("observes") for at in places(one)}
    item.set_done(len(counted & known) * len(models.test))
    for setting in settings:
        done = {(chip, t) for key, chip, t in known if key == setting["key"]}
        missing = [at for at in places(setting) if at not in done]
        if not missing:
            continue
        if setting.get("observes"):
            for t_inference_s, seen in OBSERVERS[name](item, setting["coordinates"], [t for _, t in missing]):
                _save(item, setting, 0, t_inference_s, seen)
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

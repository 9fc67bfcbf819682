"""Analyse: compute the rows of an analysis, each a setting on a chip at a time after programming."""

from __future__ import annotations

from functools import partial
from typing import Any

from app.engine.kinds.analyses import rows
from simulator.evaluate import evaluate_cells
from simulator.tasks import Score
from worker.items.analyses import NETWORKS
from worker.job_models import JobModels
from worker.runner.context import ItemContext


def handle(item: ItemContext) -> None:
    """Compute the missing rows of an item: its settings on all chips at all times of the analysis.

    Streams are keyed by chip, time and batch, never by the setting: all settings have common random numbers.
    """
    models = JobModels(item)
    name, variant = item.payload["analysis"], item.variant
    analysis = next(one for one in models.spec.analyses if one.type == name)
    times_s, chips = analysis.times_s(models.spec), analysis.chips(models.spec)
    known = item.read(rows.finished_rows, item.job.id, name, variant.value)
    settings = item.payload["settings"]
    wanted = {(one["key"], chip, t) for one in settings for chip in range(chips) for t in times_s}
    item.set_done(len(wanted & known) * len(models.test))
    for setting in settings:
        done = {(chip, t) for key, chip, t in known if key == setting["key"]}
        if done.issuperset((chip, t) for chip in range(chips) for t in times_s):
            continue
        evaluate_cells(
            NETWORKS[name](item, setting["coordinates"]),
            models.test,
            task=models.task,
            repeats=range(chips),
            times_s=times_s,
            batch_size=models.evaluate.batch_size,
            done=done,
            on_cell=partial(_save, item, setting),
            check_stop=item.check_stop,
            on_batch=item.advance,
        )


def _save(
    item: ItemContext, setting: dict[str, Any], repeat: int, t_inference_s: float, result: Score
) -> None:
    item.write(
        rows.save_row,
        setting=setting["key"],
        coordinates=setting["coordinates"],
        repeat=repeat,
        t_inference=t_inference_s,
        counts=result.counts(),
        progress_done=item.done,
    )

"""Evaluate: compute cells, each a chip at a time after programming."""

from __future__ import annotations

from itertools import chain

from app.engine.items.taking_over import repeats_of
from app.engine.kinds.inference import results
from simulator.evaluate import evaluate_cells
from simulator.tasks import Score
from worker.job_models import JobModels
from worker.runner.context import ItemContext


def handle(item: ItemContext) -> None:
    """Compute the missing cells of a shard: ranges of repeats at all times; then go on with the next one.

    A chip's services are done anew for its missing cells: their draws depend on chip and time alone.
    """
    models = JobModels(item)
    variant = item.variant
    times_s = models.evaluate.t_inference

    ranges = repeats_of(item.payload)
    done = item.read(results.finished_cells, item.job.id, variant)
    shard = [(repeat, t) for ends in ranges for repeat in range(*ends) for t in times_s]
    item.set_done(sum(cell in done for cell in shard) * len(models.test))
    model = models.ready(variant)

    def on_cell(repeat: int, t_inference_s: float, result: Score) -> None:
        item.write(
            results.save_cell,
            variant=variant,
            repeat=repeat,
            t_inference=t_inference_s,
            counts=result.counts(),
            progress_done=item.done,  # counted batch by batch, so that progress never goes back
        )
        item.give_way()
        item.count_cell()

    evaluated = 0
    while evaluated < len(ranges):
        evaluate_cells(
            model,
            models.test,
            task=models.task,
            repeats=chain(*(range(*ends) for ends in ranges[evaluated:])),
            times_s=times_s,
            batch_size=models.evaluate.batch_size,
            done=done,
            upkeep=models.upkeep(models.evaluate.maintenance),
            on_cell=on_cell,
            check_stop=item.check_stop,
            on_batch=item.advance,
        )
        evaluated = len(ranges)
        ranges = item.take_over()
        if evaluated < len(ranges):
            done = item.read(results.finished_cells, item.job.id, variant)

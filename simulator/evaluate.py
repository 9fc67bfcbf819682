"""Accuracy over time, cell by cell: a cell is one chip instance (repeat) at one time after programming."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulator.config.tasks import Task
from simulator.maintenance import Upkeep, through_time
from simulator.nn import noise_context
from simulator.tasks import Score, add, score_batch


@dataclass(frozen=True)
class Samples:
    """Inputs with their targets, resident in memory.

    Attributes:
        inputs: tensors of shape `[samples, ...]`, in the order of the model's inputs.
        targets: class indices `[samples, ...]` (int64), or values `[samples, ...]` (float32).
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def first(self, count: int | None) -> Samples:
        """Return the first samples; all when count is None."""
        return Samples(tuple(tensor[:count] for tensor in self.inputs), self.targets[:count])

    def take(self, index: Tensor | slice) -> Samples:
        """Return the chosen samples."""
        return Samples(tuple(tensor[index] for tensor in self.inputs), self.targets[index])

    def to(self, device: torch.device) -> Samples:
        """Return the samples on a device."""
        return Samples(tuple(tensor.to(device) for tensor in self.inputs), self.targets.to(device))


def score(
    model: nn.Module,
    samples: Samples,
    *,
    task: Task,
    batch_size: int,
    check_stop: Callable[[], None] = lambda: None,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Score:
    """Run the model over the samples in order and count.

    Args:
        model: a network in eval mode; if it has analog layers, its noise context moves from batch to batch.
        samples: the test set.
        task: what is counted.
        batch_size: samples at once; part of the noise streams' keys, so it changes the draws.
        check_stop: called before every batch; raises to stop.
        on_batch: called after every batch with its number of samples.
    """
    context = noise_context(model)
    target_mean = samples.targets.double().mean(dim=0) if task is Task.REGRESSION else None
    scores = []
    with torch.inference_mode():
        for batch, start in enumerate(range(0, len(samples), batch_size)):
            check_stop()
            part = samples.take(slice(start, start + batch_size))
            if context is not None:
                context.at_batch(batch)
            scores.append(score_batch(task, model(*part.inputs), part.targets, target_mean))
            on_batch(len(part))
    return add(scores)


def evaluate_cells(
    model: nn.Module,
    samples: Samples,
    *,
    task: Task,
    repeats: Iterable[int],
    times_s: Sequence[float],
    batch_size: int,
    on_cell: Callable[[int, float, Score], None],
    done: Container[tuple[int, float]] = (),
    upkeep: Upkeep | None = None,
    check_stop: Callable[[], None] = lambda: None,
    on_batch: Callable[[int], None] = lambda _: None,
) -> None:
    """Evaluate an analog model on many chip instances at many times; the cells that are done are left out.

    Every draw is keyed by repeat, time and batch, so a cell's numbers do not depend on which others are
    computed, nor in which order.

    Args:
        model: the converted model, in eval mode.
        samples: the test set.
        task: what is counted.
        repeats: the chip instances.
        times_s: times after programming in seconds.
        batch_size: samples at once.
        on_cell: called with repeat, time and score of each finished cell.
        done: (repeat, time) of the cells that need not be computed.
        upkeep: what is done to chips in service; None for a readout of drift compensation at every time.
        check_stop: called before every batch; raises to stop.
        on_batch: called after every batch with its number of samples.
    """
    for repeat in repeats:
        missing = [t for t in times_s if (repeat, t) not in done]
        if not missing:
            continue
        check_stop()
        for t_inference_s in through_time(model, repeat, missing, upkeep):
            result = score(
                model, samples, task=task, batch_size=batch_size, check_stop=check_stop, on_batch=on_batch
            )
            on_cell(repeat, t_inference_s, result)


def accuracy(result: Score) -> float:
    """Return the fraction of right answers; NaN where there is none to count."""
    return math.nan if result.correct is None or result.total == 0 else result.correct / result.total

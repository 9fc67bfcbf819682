"""Accuracy over time, cell by cell: a cell is one chip instance (repeat) at one time after programming."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator.nn import drift_analog_weights, noise_context, program_analog_weights


class Task(StrEnum):
    """What a network is asked to do."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True)
class Samples:
    """Inputs with their targets, resident in memory.

    Attributes:
        inputs: tensors of shape `[samples, ...]`, in the order of the model's inputs.
        targets: class indices `[samples]` (int64), or values `[samples, ...]` (float32).
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


@dataclass(frozen=True)
class Score:
    """Counts over a test set: parts of a set add up exactly, statistics are for the reader.

    Attributes:
        total: samples.
        loss_sum: sum over samples of the cross entropy, or of the squared error averaged over outputs.
        correct: right answers; None for regression.
        abs_error_sum: sum over samples of the mean absolute error; None for classification.
    """

    total: int
    loss_sum: float
    correct: int | None = None
    abs_error_sum: float | None = None


def loss_of(task: Task, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the summed loss of a batch: cross entropy, or squared error averaged over outputs."""
    if task is Task.CLASSIFICATION:
        return functional.cross_entropy(outputs, targets, reduction="sum", label_smoothing=label_smoothing)
    return (outputs - targets.reshape(outputs.shape)).square().flatten(1).mean(dim=1).sum()


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
    total, loss_sum, correct, abs_error_sum = 0, 0.0, 0, 0.0
    with torch.inference_mode():
        for batch, start in enumerate(range(0, len(samples), batch_size)):
            check_stop()
            part = samples.take(slice(start, start + batch_size))
            if context is not None:
                context.at_batch(batch)
            outputs = model(*part.inputs)
            total += len(part)
            loss_sum += float(loss_of(task, outputs.double(), part.targets))
            if task is Task.CLASSIFICATION:
                correct += int((outputs.argmax(dim=1) == part.targets).sum())
            else:
                error = (outputs - part.targets.reshape(outputs.shape)).abs().flatten(1).mean(dim=1)
                abs_error_sum += float(error.double().sum())
            on_batch(len(part))
    if task is Task.CLASSIFICATION:
        return Score(total, loss_sum, correct=correct)
    return Score(total, loss_sum, abs_error_sum=abs_error_sum)


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
        check_stop: called before every batch; raises to stop.
        on_batch: called after every batch with its number of samples.
    """
    for repeat in repeats:
        missing = [t for t in times_s if (repeat, t) not in done]
        if not missing:
            continue
        check_stop()
        program_analog_weights(model, repeat=repeat)
        for t_inference_s in missing:
            drift_analog_weights(model, t_inference=t_inference_s)
            result = score(
                model, samples, task=task, batch_size=batch_size, check_stop=check_stop, on_batch=on_batch
            )
            on_cell(repeat, t_inference_s, result)


def accuracy(result: Score) -> float:
    """Return the fraction of right answers; NaN where there is none to count."""
    return math.nan if result.correct is None or result.total == 0 else result.correct / result.total

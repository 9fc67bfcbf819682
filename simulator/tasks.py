"""What a network is asked to do: how its outputs are compared with the targets, in training and evaluation.

Legend of shapes: N samples, C classes, L labels, P positions of a sample (tokens, pixels).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from simulator.config.tasks import Task

IGNORED_CLASS = -100  # the target of a position that does not count
TOP = 5


@dataclass(frozen=True)
class Score:
    """Counts over a test set: parts of a set add up exactly, statistics are for the reader.

    Attributes:
        total: what is counted: samples, positions that count, or labels of all samples.
        loss_sum: sum over these of the cross entropy (binary for labels); of a regression, sum over samples
            of the squared error averaged over outputs.
        correct: right answers; None for regression.
        correct_top5: right classes among the five likeliest; None for other tasks, and with five classes or
            fewer.
        abs_error_sum: sum over samples of the mean absolute error; None but for regression.
        target_spread: sum over samples of the squared deviation of the targets from their mean over the set,
            averaged over outputs; None but for regression.
    """

    total: int
    loss_sum: float
    correct: int | None = None
    correct_top5: int | None = None
    abs_error_sum: float | None = None
    target_spread: float | None = None

    def counts(self) -> dict[str, float]:
        """Return what was counted, by the names of `simulator.config.tasks.COUNTS`.

        What the task does not count is absent, and so is a sum that is not finite.
        """
        return {name: value for name, value in asdict(self).items() if value is not None and isfinite(value)}


def add(scores: list[Score]) -> Score:
    """Return the score of several passes together."""

    def total(values: list[Any]) -> Any:
        return None if None in values else sum(values)

    return Score(
        sum(one.total for one in scores),
        sum(one.loss_sum for one in scores),
        correct=total([one.correct for one in scores]),
        correct_top5=total([one.correct_top5 for one in scores]),
        abs_error_sum=total([one.abs_error_sum for one in scores]),
        target_spread=total([one.target_spread for one in scores]),
    )


def targets_for(task: Task, targets: Tensor, *, one_hot: bool = False) -> Tensor:
    """Return a dataset's targets as a task compares them with outputs.

    Args:
        task: what the network is asked to do.
        targets: as the dataset has them, `[N, ...]`.
        one_hot: whether they are zeros and a single one along the last axis.
    """
    if task is Task.REGRESSION:
        return targets.float()
    if task is Task.CLASSIFICATION:
        return targets.argmax(dim=-1) if one_hot else targets.reshape(len(targets))
    if one_hot and task.has_classes and targets.dim() > 2:
        return targets.argmax(dim=-1)
    return targets


def is_binary(task: Task, outputs: Tensor) -> bool:
    """Tell whether a classifier answers with one number: the logit of the second of two classes."""
    return task is Task.CLASSIFICATION and outputs.numel() == len(outputs)


def aligned(task: Task, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits `[M, C]` with classes `[M]` of what counts; other tasks' tensors in one shape."""
    if task is Task.REGRESSION or task is Task.MULTI_LABEL:
        return outputs, targets.reshape(outputs.shape).to(outputs.dtype)
    if is_binary(task, outputs):
        second = outputs.reshape(-1, 1)
        return torch.cat([torch.zeros_like(second), second], dim=1), targets
    if task is Task.CLASSIFICATION:
        return outputs, targets
    if outputs.shape[:-1] != targets.shape:
        outputs = outputs.movedim(1, -1)
    counted = targets != IGNORED_CLASS
    return outputs[counted], targets[counted]


def units(task: Task, targets: Tensor) -> int:
    """Return what a batch counts: samples, positions, or labels."""
    if task in (Task.TOKEN_CLASSIFICATION, Task.NEXT_TOKEN):
        return int((targets != IGNORED_CLASS).sum())
    return targets.numel() if task is Task.MULTI_LABEL else len(targets)


def loss_of(task: Task, outputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the summed loss of a batch: cross entropy, or squared error averaged over outputs."""
    outputs, targets = aligned(task, outputs, targets)
    if task is Task.REGRESSION:
        return (outputs - targets).square().flatten(1).mean(dim=1).sum()
    if task is Task.MULTI_LABEL:
        smooth = targets * (1 - label_smoothing) + label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(outputs, smooth, reduction="sum")
    return functional.cross_entropy(outputs, targets, reduction="sum", label_smoothing=label_smoothing)


def correct(task: Task, outputs: Tensor, targets: Tensor) -> int | None:
    """Return how many answers of a batch are right; None for a regression. NaN is never right."""
    if task is Task.REGRESSION:
        return None
    outputs, targets = aligned(task, outputs, targets)
    if task is Task.MULTI_LABEL:
        return int((((outputs > 0) == (targets > 0.5)) & ~outputs.isnan()).sum())
    return int(((outputs.argmax(dim=-1) == targets) & _answered(outputs)).sum())


def _answered(logits: Tensor) -> Tensor:
    """Tell of logits `[M, C]` which are an answer: argmax and topk take NaN for the largest number."""
    return ~logits.isnan().any(dim=-1)


@torch.no_grad()
def score_batch(task: Task, outputs: Tensor, targets: Tensor, target_mean: Tensor | None = None) -> Score:
    """Return the counts of a batch.

    Args:
        task: what is counted.
        outputs: of the network.
        targets: what they should be.
        target_mean: mean of all targets of the test set, of a regression.
    """
    loss = float(loss_of(task, outputs.double(), targets))
    right = correct(task, outputs, targets)
    if task is Task.REGRESSION:
        values, wanted = aligned(task, outputs, targets)
        spread = None
        if target_mean is not None:
            deviation = (targets.double() - target_mean).reshape(len(targets), -1)
            spread = float(deviation.square().mean(dim=1).sum())
        error = (values - wanted).abs().flatten(1).mean(dim=1)
        return Score(len(targets), loss, abs_error_sum=float(error.double().sum()), target_spread=spread)
    top5 = None
    if task.has_classes:
        logits, classes = aligned(task, outputs, targets)
        if logits.shape[-1] > TOP:
            among = (logits.topk(TOP, dim=-1).indices == classes.unsqueeze(-1)).any(dim=-1)
            top5 = int((among & _answered(logits)).sum())
    return Score(units(task, targets), loss, correct=right, correct_top5=top5)

"""Validation of a network in training as it would be used: on chips, programmed and drifted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulator import rng
from simulator.config import EarlyStopping
from simulator.config.tasks import Task
from simulator.config.training import kept_apart
from simulator.evaluate import Samples, score
from simulator.nn import (
    drift_analog_weights,
    noise_context,
    program_analog_weights,
    remap_for_programming,
)
from simulator.tasks import Score, add

VALIDATION_INSTANCES = 3
VALIDATION_T_INFERENCE_S = 86400.0


def split(samples: int, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices to train on and those to validate on, `[n]` each, ascending.

    Raises:
        ValueError: the fraction leaves nothing to one of the two.
    """
    if fraction == 0:
        return torch.arange(samples), torch.arange(0)
    kept = kept_apart(samples, fraction)
    order = torch.randperm(samples, generator=rng.generator(seed, rng.Purpose.SPLIT, "validation"))
    return order[kept:].sort().values, order[:kept].sort().values


def validate(
    model: nn.Module,
    samples: Samples,
    *,
    task: Task,
    batch_size: int,
    check_stop: Callable[[], None],
) -> Score:
    """Score the present weights on chip instances one day after programming; leave the model in training.

    The weights are mapped anew, as they will be when the trained network is programmed. Instances have
    negative numbers, so evaluation never meets them, and are the same in every epoch: what differs between
    epochs is the network alone. A digital model is scored as it is.
    """

    def run(network: nn.Module) -> Score:
        return score(network, samples, task=task, batch_size=batch_size, check_stop=check_stop)

    if noise_context(model) is None:
        model.eval()
        try:
            return run(model)
        finally:
            model.train()
    on_chips = copy.deepcopy(model).eval()
    remap_for_programming(on_chips)
    scores = []
    for instance in range(VALIDATION_INSTANCES):
        program_analog_weights(on_chips, repeat=-1 - instance)
        drift_analog_weights(on_chips, VALIDATION_T_INFERENCE_S)
        scores.append(run(on_chips))
    return add(scores)


@dataclass
class BestSoFar:
    """The best epoch under validation, and when to give up.

    Attributes:
        options: patience and the least improvement.
        epoch: the best one; None before the first.
        figure: its accuracy, or minus its loss for a regression.
        state: parameters and buffers after it.
    """

    options: EarlyStopping
    epoch: int | None = None
    figure: float = 0.0
    state: dict[str, Tensor] | None = None

    def see(self, epoch: int, found: Score, model: nn.Module) -> None:
        """Take an epoch's score into account."""
        figure = -found.loss_sum if found.correct is None else float(found.correct)
        figure /= found.total
        if self.epoch is None or figure > self.figure + self.options.min_delta:
            self.epoch, self.figure = epoch, figure
            self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def gave_up(self, epoch: int) -> bool:
        """Whether training ends after this epoch."""
        return self.epoch is not None and epoch - self.epoch >= self.options.patience

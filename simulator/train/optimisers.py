"""Optimisers and learning-rate schedules of a fine-tuning."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, ExponentialLR, LRScheduler, StepLR

from simulator import config
from simulator.config import FinetuneSpec


def build_optimizer(parameters: list[nn.Parameter], spec: FinetuneSpec) -> Optimizer:
    """Return the optimiser of the parameters that a specification asks for."""
    options = spec.optimizer
    if isinstance(options, config.SGD):
        return SGD(
            parameters,
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.nesterov,
        )
    if isinstance(options, config.Adam | config.AdamW):
        kind = Adam if isinstance(options, config.Adam) else AdamW
        return kind(
            parameters,
            lr=options.lr,
            betas=options.betas,
            eps=options.eps,
            weight_decay=options.weight_decay,
        )
    raise TypeError(f"no such optimizer: {options.type}")


def build_scheduler(optimizer: Optimizer, spec: FinetuneSpec) -> LRScheduler:
    """Return the schedule of the optimiser's learning rate; it is stepped once per epoch."""
    options = spec.scheduler
    if isinstance(options, config.CosineSchedule):
        return CosineAnnealingLR(optimizer, T_max=spec.epochs, eta_min=options.eta_min)
    if isinstance(options, config.StepSchedule):
        return StepLR(optimizer, step_size=options.step_size, gamma=options.gamma)
    if isinstance(options, config.ExponentialSchedule):
        return ExponentialLR(optimizer, gamma=options.gamma)
    if isinstance(options, config.ConstantSchedule):
        return ConstantLR(optimizer, factor=1.0)
    raise TypeError(f"no such scheduler: {options.type}")

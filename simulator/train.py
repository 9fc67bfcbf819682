"""Hardware-aware fine-tuning: train through the analog forward pass, update the clean weights.

The order of samples, the weight modifiers and the forward noise come from keyed streams, and a checkpoint
after each epoch holds everything else, so training that is resumed ends with the same numbers, bit for bit,
as training that was never interrupted.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, ExponentialLR, LRScheduler, StepLR

from simulator import config, rng
from simulator.config import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    FinetuneSpec,
    LossType,
    StepSchedule,
)
from simulator.evaluate import Samples, Task, loss_of
from simulator.nn import noise_context, post_update_step


@dataclass(frozen=True)
class EpochReport:
    """What an epoch did.

    Attributes:
        epoch: counted from 0.
        train_loss: mean loss over the epoch's batches, as seen in training (under noise).
        train_accuracy: share of right answers in training; None for regression.
        learning_rate: of the epoch's batches.
        seconds: wall-clock time.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None
    learning_rate: float
    seconds: float


class NonFiniteLossError(ArithmeticError):
    """The training loss became NaN or infinite."""


def finetune(
    model: nn.Module,
    samples: Samples,
    spec: FinetuneSpec,
    *,
    task: Task,
    seed: int,
    resume: bytes | None = None,
    on_epoch: Callable[[EpochReport, bytes], None] = lambda _report, _checkpoint: None,
    on_batch: Callable[[int], None] = lambda _: None,
    check_stop: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Train the model in place, and return it in eval mode.

    Args:
        model: an analog model (HWA training), or a digital one (the control).
        samples: the training set.
        spec: epochs, batch size, optimiser, scheduler, loss.
        task: decides the loss.
        seed: of the order of samples, dropout and, through the model's noise context, the analog noise.
        resume: a checkpoint of `on_epoch`; training goes on after its epoch.
        on_epoch: called after each epoch with its report and a checkpoint.
        on_batch: called after each batch with its number of samples.
        check_stop: called before every batch; raises to stop.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite.
        ValueError: the model has no trainable parameters.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("the model has no trainable parameters")
    samples = samples.first(spec.max_samples)
    optimizer = _optimizer(parameters, spec)
    scheduler = _scheduler(optimizer, spec)
    first_epoch = 0
    if resume is not None:
        first_epoch = _restore(resume, model, optimizer, scheduler)
    model.train()
    for epoch in range(first_epoch, spec.epochs):
        started = time.perf_counter()
        rate = float(optimizer.param_groups[0]["lr"])
        loss, right = _train_epoch(
            model, samples, spec, optimizer, task=task, seed=seed, epoch=epoch, on_batch=on_batch,
            check_stop=check_stop,
        )  # fmt: skip
        scheduler.step()
        seconds = time.perf_counter() - started
        on_epoch(
            EpochReport(epoch, loss, right, rate, seconds),
            _checkpoint(model, optimizer, scheduler, epoch),
        )
    return model.eval()


def _train_epoch(
    model: nn.Module,
    samples: Samples,
    spec: FinetuneSpec,
    optimizer: Optimizer,
    *,
    task: Task,
    seed: int,
    epoch: int,
    on_batch: Callable[[int], None],
    check_stop: Callable[[], None],
) -> tuple[float, float | None]:
    """Train one epoch; return the mean loss and, for classification, the share of right answers."""
    context = noise_context(model)
    device = samples.targets.device
    order = torch.randperm(len(samples), generator=rng.generator(seed, rng.Purpose.SAMPLE_ORDER, epoch))
    loss_sum, correct, seen = 0.0, 0, 0
    for batch, index in enumerate(order.to(device).split(spec.batch_size)):
        if len(index) == 1 and seen > 0:
            break  # a last batch of one sample would have no variance for BatchNorm
        check_stop()
        part = samples.take(index)
        if context is not None:
            context.move(epoch=epoch, batch=batch)
        with rng.as_default(seed, rng.Purpose.DROPOUT, epoch, batch, device=device):
            outputs = model(*part.inputs)
        loss = _loss(spec, task, outputs, part.targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the loss became {value} in epoch {epoch}, batch {batch}; lower the learning rate"
            )
        optimizer.zero_grad(set_to_none=True)
        (loss / len(part)).backward()
        if spec.grad_clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), spec.grad_clip_norm)
        optimizer.step()
        post_update_step(model)
        loss_sum += value
        seen += len(part)
        if task is Task.CLASSIFICATION:
            correct += int((outputs.detach().argmax(dim=1) == part.targets).sum())
        on_batch(len(part))
    return loss_sum / seen, correct / seen if task is Task.CLASSIFICATION else None


def _loss(spec: FinetuneSpec, task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the summed loss; a classification with loss mse is trained towards one-hot targets."""
    if spec.loss is LossType.MSE and task is Task.CLASSIFICATION:
        hot = functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
        return loss_of(Task.REGRESSION, outputs, hot)
    return loss_of(task, outputs, targets, label_smoothing=spec.label_smoothing)


def _optimizer(parameters: list[nn.Parameter], spec: FinetuneSpec) -> Optimizer:
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
        return kind(parameters, lr=options.lr, betas=options.betas, weight_decay=options.weight_decay)
    raise TypeError(f"no such optimizer: {options.type}")


def _scheduler(optimizer: Optimizer, spec: FinetuneSpec) -> LRScheduler:
    options = spec.scheduler
    if isinstance(options, CosineSchedule):
        return CosineAnnealingLR(optimizer, T_max=spec.epochs, eta_min=options.eta_min)
    if isinstance(options, StepSchedule):
        return StepLR(optimizer, step_size=options.step_size, gamma=options.gamma)
    if isinstance(options, ExponentialSchedule):
        return ExponentialLR(optimizer, gamma=options.gamma)
    if isinstance(options, ConstantSchedule):
        return ConstantLR(optimizer, factor=1.0)
    raise TypeError(f"no such scheduler: {options.type}")


def _checkpoint(model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, epoch: int) -> bytes:
    buffer = io.BytesIO()
    torch.save(
        {
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
        },
        buffer,
    )
    return buffer.getvalue()


def _restore(checkpoint: bytes, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler) -> int:
    """Load a checkpoint and return the epoch to go on with."""
    state = torch.load(io.BytesIO(checkpoint), weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    return int(state["epoch"]) + 1

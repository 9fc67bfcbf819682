"""The training loop: keyed, checkpointed after each epoch, resumable bit for bit.

The order of samples, the weight modifiers and the forward noise come from keyed streams, and a checkpoint
after each epoch holds everything else, so training that is resumed ends with the same numbers, bit for bit,
as training that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulator import rng
from simulator.config import FinetuneSpec, LossType
from simulator.config.tasks import Task
from simulator.evaluate import Samples
from simulator.nn import noise_context, post_update_step, set_modifier_strength
from simulator.nn.layer import not_finite
from simulator.tasks import Score, correct, units
from simulator.train import checkpoint
from simulator.train.objective import Objective, outputs_of
from simulator.train.optimisers import build_optimizer, build_scheduler
from simulator.train.validation import BestSoFar, split, validate


@dataclass(frozen=True)
class EpochReport:
    """What an epoch did.

    Attributes:
        epoch: counted from 0.
        train_loss: mean loss over the epoch's batches, as seen in training (under noise).
        train_accuracy: share of right answers in training; None for regression.
        learning_rate: of the epoch's batches.
        seconds: wall-clock time, validation included.
        validation_loss: mean loss on the validation samples under noise, without smoothing or teacher; None
            without validation.
        validation_accuracy: share of right answers there; None for regression, or without validation.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None
    learning_rate: float
    seconds: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


class NonFiniteLossError(ArithmeticError):
    """The loss, or a parameter, became NaN or infinite."""


class SingleSampleError(ValueError):
    """A batch has one sample, of which batch normalisation has no variance."""


@dataclass(frozen=True)
class Hooks:
    """Calls that report training to the caller; see `finetune`."""

    on_epoch: Callable[[EpochReport, bytes], None]
    on_batch: Callable[[int], None]
    check_stop: Callable[[], None]


def finetune(
    model: nn.Module,
    samples: Samples,
    spec: FinetuneSpec,
    *,
    task: Task,
    seed: int,
    teacher: nn.Module | None = None,
    resume: bytes | None = None,
    on_epoch: Callable[[EpochReport, bytes], None] = lambda _report, _checkpoint: None,
    on_batch: Callable[[int], None] = lambda _: None,
    check_stop: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Train the model in place, and return it in eval mode.

    With early stopping the model ends with the parameters of its best epoch.

    Args:
        model: an analog model (HWA training), or a digital one (the control).
        samples: the training set; `spec.validation_fraction` of it is kept apart.
        spec: epochs, batch size, optimiser, scheduler, loss, and the options.
        task: decides the loss.
        seed: of the order of samples, the validation split, dropout and, through the model's noise context,
            the analog noise.
        teacher: the floating-point network that `spec.distillation` learns from; not the model itself.
        resume: a checkpoint of `on_epoch`; training goes on after its epoch.
        on_epoch: called after each epoch with its report and a checkpoint.
        on_batch: called after each batch with its number of samples.
        check_stop: called before every batch; raises to stop.

    Raises:
        NonFiniteLossError: the loss, or a parameter, became NaN or infinite.
        ValueError: model, task, teacher and specification do not go together; all faults at once.
    """
    _refuse_faults(model, spec, task, teacher)
    hooks = Hooks(on_epoch, on_batch, check_stop)
    training = _Training(model, samples.first(spec.max_samples), spec, task=task, seed=seed, hooks=hooks)
    if teacher is not None:
        training.learn_from(teacher)
    try:
        training.run(resume)
    finally:
        set_modifier_strength(model, 1.0)
    return model.eval()


def _refuse_faults(model: nn.Module, spec: FinetuneSpec, task: Task, teacher: nn.Module | None) -> None:
    faults = []
    if not any(parameter.requires_grad for parameter in model.parameters()):
        faults.append("the model has no trainable parameters")
    if task is Task.REGRESSION and spec.loss is not LossType.MSE:
        faults.append(f"a regression is trained with loss mse, not {spec.loss.value}")
    if task is Task.MULTI_LABEL and spec.loss is LossType.MSE:
        faults.append("labels are trained with loss cross_entropy (binary), since outputs are logits")
    if spec.distillation is not None and teacher is None:
        faults.append("distillation needs a teacher: pass a copy of the model in floating point")
    if spec.distillation is None and teacher is not None:
        faults.append("a teacher was passed, but the specification has no distillation")
    if teacher is not None and teacher is model:
        faults.append("the teacher is the model itself: pass a copy made before training")
    if faults:
        raise ValueError("; ".join(faults))


class _Training:
    """One fine-tuning: what stays over its epochs, and the epochs."""

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        spec: FinetuneSpec,
        *,
        task: Task,
        seed: int,
        hooks: Hooks,
    ) -> None:
        self.model, self.samples, self.spec, self.task, self.seed = model, samples, spec, task, seed
        self.hooks = hooks
        self.context = noise_context(model)
        self.objective = Objective(spec, task)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = build_optimizer(parameters, spec)
        self.scheduler = build_scheduler(self.optimizer, spec)
        self.train_index, validation_index = split(len(samples), spec.validation_fraction, seed)
        self.validation = samples.take(validation_index.to(samples.targets.device))
        self.best = None if spec.early_stopping is None else BestSoFar(spec.early_stopping)
        self.taught: Tensor | None = None

    def learn_from(self, teacher: nn.Module) -> None:
        """Note the teacher's outputs for all samples."""
        self.taught = outputs_of(teacher, self.samples, self.spec.batch_size, self.hooks.check_stop)

    def run(self, resume: bytes | None) -> None:
        """Train the epochs that are missing."""
        last = -1
        if resume is not None:
            last = checkpoint.restore(resume, self.model, self.optimizer, self.scheduler, self.best)
        self.model.train()
        while last + 1 < self.spec.epochs and not (self.best is not None and self.best.gave_up(last)):
            last += 1
            report = self._epoch(last)
            state = checkpoint.save(last, self.model, self.optimizer, self.scheduler, self.best)
            self.hooks.on_epoch(report, state)
        if self.best is not None and self.best.state is not None:
            self.model.load_state_dict(self.best.state)

    def _epoch(self, epoch: int) -> EpochReport:
        started = time.perf_counter()
        rate = float(self.optimizer.param_groups[0]["lr"])
        set_modifier_strength(self.model, min(1.0, (epoch + 1) / (self.spec.noise_ramp_epochs + 1)))
        loss, right = self._train(epoch)
        if fault := not_finite(*self.model.parameters()):
            raise NonFiniteLossError(f"training diverged in epoch {epoch} ({fault}); lower the learning rate")
        self.scheduler.step()
        found = self._validate(epoch)
        return EpochReport(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=right,
            learning_rate=rate,
            seconds=time.perf_counter() - started,
            validation_loss=None if found is None else found.loss_sum / found.total,
            validation_accuracy=(
                None if found is None or found.correct is None else found.correct / found.total
            ),
        )

    def _train(self, epoch: int) -> tuple[float, float | None]:
        """Train one epoch; return the mean loss and the share of right answers, None for a regression."""
        stream = rng.generator(self.seed, rng.Purpose.SAMPLE_ORDER, epoch)
        order = self.train_index[torch.randperm(len(self.train_index), generator=stream)]
        loss_sum, right, counted, seen = 0.0, 0, 0, 0
        for batch, index in enumerate(order.to(self.samples.targets.device).split(self.spec.batch_size)):
            if len(index) == 1 and seen > 0:
                break  # a last batch of one sample would have no variance for BatchNorm
            self.hooks.check_stop()
            targets = self.samples.targets[index]
            loss, outputs = self._step(epoch, batch, index)
            loss_sum += loss
            seen += len(index)
            counted += units(self.task, targets)
            right += correct(self.task, outputs, targets) or 0
            self.hooks.on_batch(len(index))
        counted = max(counted, 1)
        return loss_sum / counted, None if self.task is Task.REGRESSION else right / counted

    def _step(self, epoch: int, batch: int, index: Tensor) -> tuple[float, Tensor]:
        """Update the weights once; return the batch's summed loss and its outputs."""
        part = self.samples.take(index)
        if self.context is not None:
            self.context.move(epoch=epoch, batch=batch)
        device = self.samples.targets.device
        with rng.as_default(self.seed, rng.Purpose.DROPOUT, epoch, batch, device=device):
            try:
                outputs = self.model(*part.inputs)
            except ValueError as error:
                if len(index) > 1 or "value per channel" not in str(error):
                    raise
                raise SingleSampleError(
                    "batch normalisation has no variance of a batch of one sample; train on more "
                    f"samples, two or more a batch (batch_size is {self.spec.batch_size})"
                ) from error
        loss = self.objective(outputs, part.targets, None if self.taught is None else self.taught[index])
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the loss became {value} in epoch {epoch}, batch {batch}; lower the learning rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        (loss / max(units(self.task, part.targets), 1)).backward()
        if self.spec.grad_clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.grad_clip_norm)
        self.optimizer.step()
        post_update_step(self.model)
        return value, outputs.detach()

    def _validate(self, epoch: int) -> Score | None:
        """Score the validation samples, if there are any, and remember the best epoch."""
        if len(self.validation) == 0:
            return None
        found = validate(
            self.model,
            self.validation,
            task=self.task,
            batch_size=self.spec.batch_size,
            check_stop=self.hooks.check_stop,
        )
        if not math.isfinite(found.loss_sum):
            raise NonFiniteLossError(
                f"the validation loss became {found.loss_sum} in epoch {epoch}; lower the learning rate"
            )
        if self.best is not None:
            self.best.see(epoch, found, self.model)
        return found

"""What fine-tuning minimises: the loss on the targets, and on what a floating-point teacher says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator.config import FinetuneSpec, LossType
from simulator.config.tasks import Task
from simulator.evaluate import Samples
from simulator.tasks import aligned, is_binary, loss_of


@dataclass(frozen=True)
class Objective:
    """The summed loss of a batch.

    Attributes:
        spec: loss, label smoothing, distillation.
        task: what the network is asked to do.
    """

    spec: FinetuneSpec
    task: Task

    def __call__(self, outputs: Tensor, targets: Tensor, taught: Tensor | None) -> Tensor:
        """Return the sum over the batch.

        Args:
            outputs: of the network, `[samples, ...]`.
            targets: class indices, or values.
            taught: the teacher's outputs for the same samples; None without distillation.
        """
        teacher = self.spec.distillation
        if teacher is None or taught is None:
            return self._on_targets(outputs, targets)
        soft = self._on_teacher(outputs, taught, targets, teacher.temperature)
        if teacher.weight == 1:
            return soft
        return teacher.weight * soft + (1 - teacher.weight) * self._on_targets(outputs, targets)

    def _on_targets(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Classes with loss mse are trained towards one-hot targets, a single logit towards -1 and 1."""
        if self.spec.loss is LossType.MSE and is_binary(self.task, outputs):
            return loss_of(Task.REGRESSION, outputs, 2 * targets - 1)
        if self.spec.loss is LossType.MSE:
            outputs, targets = aligned(self.task, outputs, targets)
            if self.task.has_classes:
                targets = functional.one_hot(targets, outputs.shape[-1])
            return loss_of(Task.REGRESSION, outputs, targets)
        return loss_of(self.task, outputs, targets, label_smoothing=self.spec.label_smoothing)

    def _on_teacher(self, outputs: Tensor, taught: Tensor, targets: Tensor, temperature: float) -> Tensor:
        """T^2 KL(teacher || student) at temperature T (Hinton et al., arXiv:1503.02531), or squared error."""
        if self.spec.loss is LossType.MSE:
            return loss_of(Task.REGRESSION, outputs, taught)
        if self.task is Task.MULTI_LABEL:
            wanted = torch.sigmoid(taught / temperature)
            return loss_of(self.task, outputs / temperature, wanted) * temperature**2
        student = functional.log_softmax(aligned(self.task, outputs, targets)[0] / temperature, dim=-1)
        wanted = functional.log_softmax(aligned(self.task, taught, targets)[0] / temperature, dim=-1)
        return functional.kl_div(student, wanted, reduction="sum", log_target=True) * temperature**2


@torch.no_grad()
def outputs_of(
    teacher: nn.Module, samples: Samples, batch_size: int, check_stop: Callable[[], None]
) -> Tensor:
    """Return the teacher's outputs for all samples, in order, in its eval mode.

    They are computed once, in batches of their own: no epoch and no order of samples changes them.
    """
    was_training = teacher.training
    teacher.eval()
    parts = []
    try:
        for start in range(0, len(samples), batch_size):
            check_stop()
            parts.append(teacher(*samples.take(slice(start, start + batch_size)).inputs))
    finally:
        teacher.train(was_training)
    return torch.cat(parts)

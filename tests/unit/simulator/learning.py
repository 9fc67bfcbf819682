"""A small task, small networks and their training, for the tests of training and evaluation."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn

from simulator import rng
from simulator.config import FinetuneSpec, InferenceRPUConfig, resolve
from simulator.config.tasks import Task
from simulator.evaluate import Samples
from simulator.nn import convert_to_analog
from simulator.train import EpochReport, finetune

FEATURES, CLASSES = 8, 3


def drawn(*shape: int, key: int = 0) -> Tensor:
    """Standard normal numbers that are the same in every test."""
    return torch.randn(*shape, generator=rng.generator(7, rng.Purpose.VERIFICATION, key))


def classification(count: int = 72) -> Samples:
    """Three clouds of points around three centres."""
    targets = torch.arange(count) % CLASSES
    centres = 2 * drawn(CLASSES, FEATURES, key=1)
    return Samples((centres[targets] + drawn(count, FEATURES, key=2),), targets)


def regression(count: int = 48) -> Samples:
    """Values that depend linearly on the inputs."""
    x = drawn(count, FEATURES, key=3)
    return Samples((x,), x @ drawn(FEATURES, 2, key=4))


class Network(nn.Sequential):
    """Linear, batch norm, ReLU, dropout, linear: everything whose state or draws a checkpoint must carry."""

    def __init__(self, outputs: int = CLASSES, dropout: float = 0.2) -> None:
        with rng.as_default(7, rng.Purpose.INITIAL_WEIGHTS):
            super().__init__(
                nn.Linear(FEATURES, 10),
                nn.BatchNorm1d(10),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(10, outputs),
            )


def noisy(**overrides: Any) -> InferenceRPUConfig:
    """A configuration with every kind of draw: DAC, read and output noise, and a weight modifier."""
    base = {"modifier": {"type": "AddNormal", "std_dev": 0.1}, "forward": {"inp_noise": 0.01}}
    return resolve({"preset": "PCMExamplePreset", "overrides": {**base, **overrides}})


def analog(config: InferenceRPUConfig | None = None, *, seed: int = 5, outputs: int = CLASSES) -> nn.Module:
    """The network on tiles."""
    return convert_to_analog(Network(outputs), config or noisy(), seed=seed)


def spec_of(**options: Any) -> FinetuneSpec:
    """Four epochs, unless the options say otherwise."""
    return FinetuneSpec.model_validate({"epochs": 4, "batch_size": 16, **options})


class Recorder:
    """Takes the place of the worker: keeps the reports and checkpoints, and can stop after an epoch."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.reports: list[EpochReport] = []
        self.checkpoints: list[bytes] = []

    def __call__(self, report: EpochReport, checkpoint: bytes) -> None:
        """Note an epoch."""
        self.reports.append(report)
        self.checkpoints.append(checkpoint)
        if report.epoch == self.stop_after:
            raise KeyboardInterrupt

    def figures(self) -> list[tuple[Any, ...]]:
        """What the reports say, times left out."""
        names = (
            "epoch",
            "train_loss",
            "train_accuracy",
            "learning_rate",
            "validation_loss",
            "validation_accuracy",
        )
        return [tuple(getattr(report, name) for name in names) for report in self.reports]


def train(
    model: nn.Module,
    spec: FinetuneSpec,
    recorder: Recorder | None = None,
    *,
    samples: Samples | None = None,
    task: Task = Task.CLASSIFICATION,
    seed: int = 5,
    resume: bytes | None = None,
) -> nn.Module:
    """Fine-tune the model in place."""
    return finetune(
        model,
        samples or classification(),
        spec,
        task=task,
        seed=seed,
        teacher=Network() if spec.distillation else None,
        resume=resume,
        on_epoch=recorder or Recorder(),
    )


def model_in(checkpoint: bytes) -> dict[str, Tensor]:
    """The parameters that a checkpoint says training would end with."""
    return torch.load(io.BytesIO(checkpoint), weights_only=True)["model"]


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two states agree in names and in every bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

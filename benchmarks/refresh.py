"""What a refresh of batch normalisation wins back: `python -m benchmarks.refresh [epochs] [chips] [images]`.

A ResNet-20 for images of 1x28x28 is trained on `builtin:mnist10k` in floating point, programmed onto
phase-change memory without drift compensation, and evaluated with and without a refresh at the evaluated
time, on the same chips. The share won back is that of the accuracy lost to the digital network, chip by chip.
"""

from __future__ import annotations

import math
import sys
from statistics import fmean, stdev

from scipy.special import stdtrit
from torch import nn

from examples.resnet import resnet20
from simulator import rng
from simulator.config import FinetuneSpec, resolve
from simulator.config.maintenance import MaintenanceRule, Schedule, ServiceKind
from simulator.config.tasks import Task
from simulator.data.loading import load_dataset
from simulator.evaluate import Samples, accuracy, evaluate_cells, score
from simulator.maintenance import Upkeep
from simulator.nn import convert_to_analog
from simulator.tasks import Score, targets_for
from simulator.train import finetune

_DAY_S, _MONTH_S = 86400.0, 2592000.0
_BATCH = 256


def samples(part: str, count: int | None = None) -> Samples:
    """Return the training or test set of `builtin:mnist10k`."""
    split = getattr(load_dataset("builtin:mnist10k"), part)
    return Samples(split.inputs, targets_for(Task.CLASSIFICATION, split.targets, one_hot=False)).first(count)


def trained(epochs: int) -> nn.Module:
    """Return the network, trained in floating point."""
    with rng.as_default(0, rng.Purpose.INITIAL_WEIGHTS):
        network = resnet20(in_channels=1)
    spec = FinetuneSpec.model_validate(
        {
            "epochs": epochs,
            "optimizer": {"type": "sgd", "lr": 0.05, "momentum": 0.9},
            "scheduler": {"type": "cosine"},
        }
    )

    def tell(report: object, _: bytes) -> None:
        print(report, flush=True)

    return finetune(network, samples("train"), spec, task=Task.CLASSIFICATION, seed=0, on_epoch=tell).eval()


def accuracies(
    network: nn.Module, test: Samples, schedule: Schedule, chips: int, time_s: float
) -> list[float]:
    """Return the accuracy of each chip at a time."""
    config = resolve({"preset": "PCMExamplePreset", "overrides": {"drift_compensation": None}})
    model = convert_to_analog(network, config, seed=0, channels_last=True).eval()
    found: list[float] = []

    def on_cell(_repeat: int, _time_s: float, result: Score) -> None:
        found.append(accuracy(result))

    evaluate_cells(
        model,
        test,
        task=Task.CLASSIFICATION,
        repeats=range(chips),
        times_s=[time_s],
        batch_size=_BATCH,
        on_cell=on_cell,
        upkeep=Upkeep(schedule, inputs=lambda: samples("train").inputs, batch_size=_BATCH),
    )
    return found


def told(values: list[float]) -> str:
    """Return the mean of some chips' values with Student's interval."""
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return f"{fmean(values):.4f} ({fmean(values) - half:.4f} to {fmean(values) + half:.4f})"


def main(epochs: int = 2, chips: int = 6, images: int = 500) -> None:
    """Measure, and print a line for each time."""
    network, test = trained(epochs), samples("test", images)
    digital = accuracy(score(network, test, task=Task.CLASSIFICATION, batch_size=_BATCH))
    print(f"digital {digital:.4f} on {images} images", flush=True)
    for time_s in (_DAY_S, _MONTH_S):
        rule = MaintenanceRule(at=(time_s,), do=(ServiceKind.REFRESH_BATCH_NORM,))
        alone = accuracies(network, test, (), chips, time_s)
        refreshed = accuracies(network, test, (rule,), chips, time_s)
        shares = [
            (after - before) / (digital - before) for before, after in zip(alone, refreshed, strict=True)
        ]
        print(
            f"{time_s:g} s, {chips} chips: alone {told(alone)}, refreshed {told(refreshed)}, "
            f"won back {told(shares)}",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]))

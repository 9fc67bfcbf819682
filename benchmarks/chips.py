"""Programming a chip, letting it drift, and a whole accuracy-over-time job."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from benchmarks import networks, reference
from benchmarks.rows import Row
from benchmarks.timing import best_of
from examples.resnet import resnet20
from simulator import rng
from simulator.config import InferenceRPUConfig
from simulator.evaluate import Samples, evaluate_cells
from simulator.nn import convert_to_analog, drift_analog_weights, program_analog_weights
from simulator.tasks import Task

REPEATS, TIMES, IMAGES, BATCH = 25, 6, 1000, 256
TIMED_REPEATS, TIMED = 2, (3600.0, 86400.0)


def rows() -> Iterator[Row]:
    """Measure with a ResNet-20."""
    with rng.as_default(0, rng.Purpose.INITIAL_WEIGHTS):
        digital, images = resnet20(), torch.rand(IMAGES, 3, 32, 32)
    yield from _programming(digital)
    for name, config, target in (
        ("PCMExample", networks.pcm_example(), 5.0),
        ("StandardHWATraining", networks.standard(), 20.0),
    ):
        yield from _job(name, digital, images, config, target)


def _programming(digital: nn.Module) -> Iterator[Row]:
    model = convert_to_analog(copy.deepcopy(digital), networks.pcm_example()).eval()
    devices = 2 * sum(p.numel() for p in digital.parameters() if p.dim() > 1)
    times = best_of(
        {
            "program": lambda: program_analog_weights(model),
            "drift": lambda: drift_analog_weights(model, 3600.0),
        }
    )
    yield Row(
        "ResNet-20, programming an instance", "ms", 1e3 * times["program"], 50, detail={"devices": devices}
    )
    per_million = 1e3 * times["drift"] / devices * 1e6
    yield Row(
        "ResNet-20, a further time",
        "ms per million devices",
        per_million,
        25,
        detail={"ms": 1e3 * times["drift"]},
    )


def _job(
    name: str, digital: nn.Module, images: Tensor, config: InferenceRPUConfig, target: float
) -> Iterator[Row]:
    """Time four cells of 1,000 images, ours and aihwkit's, and scale them to the job."""
    ours = _seconds(lambda: cells(digital, images, config))
    theirs = None
    theirs_config = reference.configurations().get(name)
    if theirs_config is not None:
        theirs = _seconds(lambda: _their_cells(digital, images, theirs_config))
    scale = REPEATS * TIMES / (TIMED_REPEATS * len(TIMED))
    detail = {
        "cells timed": TIMED_REPEATS * len(TIMED),
        "batch": BATCH,
        "job in s": ours * scale,
        "aihwkit's job in s": None if theirs is None else theirs * scale,
    }
    if theirs is not None:
        yield Row(
            f"accuracy over time of ResNet-20, {name}",
            "x aihwkit's speed",
            theirs / ours,
            target,
            "higher",
            detail,
        )


def cells(
    digital: nn.Module,
    images: Tensor,
    config: InferenceRPUConfig,
    *,
    repeats: int = TIMED_REPEATS,
    times_s: Sequence[float] = TIMED,
) -> None:
    """Convert the network, and evaluate chip instances at times."""
    model = convert_to_analog(copy.deepcopy(digital), config, channels_last=True).eval()
    samples = Samples((images,), torch.zeros(len(images), dtype=torch.int64))
    evaluate_cells(
        model,
        samples,
        task=Task.CLASSIFICATION,
        repeats=range(repeats),
        times_s=times_s,
        batch_size=BATCH,
        on_cell=lambda *_: None,
    )


def _their_cells(digital: nn.Module, images: Tensor, config: object) -> None:
    model = reference.convert(digital, config).eval()
    for _ in range(TIMED_REPEATS):
        model.program_analog_weights()  # type: ignore[operator]
        for t in TIMED:
            model.drift_analog_weights(t)  # type: ignore[operator]
            with torch.inference_mode():
                for part in images.split(BATCH):
                    model(part).argmax(dim=1)


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

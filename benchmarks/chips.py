"""Programming a chip, letting it drift, and a whole accuracy-over-time job."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import torch
from torch import Tensor, nn

from benchmarks import networks, reference
from benchmarks.rows import Row
from benchmarks.timing import best_of
from examples.resnet import resnet20
from simulator import rng
from simulator.config import InferenceRPUConfig
from simulator.config.tasks import Task
from simulator.evaluate import Samples, evaluate_cells
from simulator.nn import convert_to_analog, drift_analog_weights, program_analog_weights

REPEATS, TIMES, IMAGES, BATCH = 25, 6, 1000, 256
TIMED_CELLS, TIMED_S = 4, 3600.0


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
    """Time four cells of 1,000 images, ours and aihwkit's in turns, and scale the best to the job."""
    theirs_config = reference.configurations().get(name)
    if theirs_config is None:
        return
    works = {
        "ours": _our_cells(digital, images, config),
        "aihwkit": _their_cells(digital, images, theirs_config),
    }
    best = best_of(works, seconds=0, least=TIMED_CELLS, warm_up=0)
    jobs = {work: REPEATS * TIMES * seconds for work, seconds in best.items()}
    yield Row(
        f"accuracy over time of ResNet-20, {name}",
        "x aihwkit's speed",
        jobs["aihwkit"] / jobs["ours"],
        target,
        "higher",
        {
            "cells timed": TIMED_CELLS,
            "batch": BATCH,
            "job in s": jobs["ours"],
            "aihwkit's job in s": jobs["aihwkit"],
        },
    )


def _our_cells(digital: nn.Module, images: Tensor, config: InferenceRPUConfig) -> Callable[[], None]:
    """Return what evaluates the next chip instance at a time."""
    model = _analog(digital, config)
    repeats = count()

    def cell() -> None:
        repeat = next(repeats)
        _evaluate(model, images, range(repeat, repeat + 1), (TIMED_S,))

    return cell


def _their_cells(digital: nn.Module, images: Tensor, config: object) -> Callable[[], None]:
    """Return the same of aihwkit."""
    model = reference.convert(digital, config).eval()

    def cell() -> None:
        model.program_analog_weights()  # type: ignore[operator]
        model.drift_analog_weights(TIMED_S)  # type: ignore[operator]
        with torch.inference_mode():
            for part in images.split(BATCH):
                model(part).argmax(dim=1)

    return cell


def cells(
    digital: nn.Module,
    images: Tensor,
    config: InferenceRPUConfig,
    *,
    repeats: int,
    times_s: Sequence[float],
) -> None:
    """Convert the network, and evaluate chip instances at times."""
    _evaluate(_analog(digital, config), images, range(repeats), times_s)


def _analog(digital: nn.Module, config: InferenceRPUConfig) -> nn.Module:
    return convert_to_analog(copy.deepcopy(digital), config, channels_last=True).eval()


def _evaluate(model: nn.Module, images: Tensor, repeats: range, times_s: Sequence[float]) -> None:
    evaluate_cells(
        model,
        Samples((images,), torch.zeros(len(images), dtype=torch.int64)),
        task=Task.CLASSIFICATION,
        repeats=repeats,
        times_s=times_s,
        batch_size=BATCH,
        on_cell=lambda *_: None,
    )

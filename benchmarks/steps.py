"""Training steps and evaluation batches, as multiples of plain torch in floating point."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import networks, reference
from benchmarks.rows import Row
from benchmarks.timing import best_of
from examples.resnet import resnet20
from simulator import rng
from simulator.config import InferenceRPUConfig
from simulator.nn import (
    analog_layers,
    convert_to_analog,
    drift_analog_weights,
    post_update_step,
    program_analog_weights,
)

# What is measured, with the targets for training and evaluation; None: no target of its own.
WORKS: dict[str, tuple[Callable[[], InferenceRPUConfig], float | None, float | None]] = {
    "static input range": (networks.static_range, 1.5, 1.5),
    "static input range, PCMRead noise": (networks.static_range_with_read_noise, None, None),
    "StandardHWATraining": (networks.standard, 3.0, None),
    "PCMExample": (networks.pcm_example, 4.0, 4.0),
}


def rows() -> Iterator[Row]:
    """Measure ResNet-20 on 16 images of 3x32x32 and LeNet on 64 of 28x28."""
    cases = (("ResNet-20", resnet20, (16, 3, 32, 32)), ("LeNet", networks.lenet, (64, 1, 28, 28)))
    for name, network, shape in cases:
        with rng.as_default(0, rng.Purpose.INITIAL_WEIGHTS):
            digital, images = network(), torch.randn(shape)
        for kind, make in (("training step", training_step), ("evaluation batch", evaluation_batch)):
            works = {"fp32": make(copy.deepcopy(digital), images)}
            for label, (config, _, _) in WORKS.items():
                works[label] = make(_analog(digital, config()), images)
            works.update(reference.steps(digital, images, training=kind == "training step"))
            times = best_of(works)
            for label, (_, training, evaluation) in WORKS.items():
                target = training if kind == "training step" else evaluation
                if target is not None:
                    yield Row(
                        f"{name}, {kind}, {label}",
                        "x fp32",
                        times[label] / times["fp32"],
                        target,
                        detail={"batch": shape[0], "ms": {one: 1e3 * t for one, t in times.items()}},
                    )


def _analog(digital: nn.Module, config: InferenceRPUConfig) -> nn.Module:
    model = convert_to_analog(digital, config, channels_last=True)
    for _, layer in analog_layers(model):
        for tile in layer.tiles:
            if tile.batches_seen is not None:  # the first batches, which set the range, are over
                tile.batches_seen.fill_(config.pre_post.input_range.init_from_data)
    return model


def training_step(model: nn.Module, images: Tensor) -> Callable[[], object]:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    targets = torch.arange(len(images)) % 10
    is_analog = any(True for _ in analog_layers(model))

    def step() -> None:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), targets).backward()
        optimizer.step()
        if is_analog:
            post_update_step(model)

    return step


def evaluation_batch(model: nn.Module, images: Tensor) -> Callable[[], object]:
    model.eval()
    if any(True for _ in analog_layers(model)):
        program_analog_weights(model)
        drift_analog_weights(model, 3600.0)

    def batch() -> None:
        with torch.inference_mode():
            model(images)

    return batch

"""Measures how fast this machine simulates, for dry runs: `python -m worker.speed.measure THREADS`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simulator import rng
from simulator.config import (
    InferenceRPUConfig,
    WeightModifierParameter,
    WeightModifierType,
    preset,
)
from simulator.memory import keep_freed_memory
from simulator.nn import convert_to_analog, drift_analog_weights, post_update_step, program_analog_weights

_REPEATS = 3
_TRIES = 3
_TINY_LAYERS = 8


def measure(threads: int) -> dict[str, Any]:
    """Return seconds per multiply-accumulate and per converted element, in evaluation and training.

    Two networks are timed: one of many small products (a convolution, its cost is the elements) and one of
    large products (linear layers). The two costs follow from the two times.
    """
    torch.set_num_threads(threads)
    configs: dict[str, InferenceRPUConfig | None] = {
        "digital": None,
        "dynamic": _with_modifier(preset("PCMExamplePreset")),
        "static": _with_modifier(preset("StandardHWATrainingPreset")),
    }
    timers = {"evaluate": _evaluate, "train": _train}
    rates: dict[str, dict[str, dict[str, float]]] = {"evaluate": {}, "train": {}}
    for name, config in configs.items():
        for kind, timed in timers.items():
            rates[kind][name] = _plausible_rates(timed, config)
    config = configs["dynamic"]
    calls = {kind: timed(_tiny(), config)[1] / _TINY_LAYERS for kind, timed in timers.items()}
    return {**rates, "program_device": _program_device(), "call": calls}


class _Case:
    """A network with its input, and how much one sample is."""

    def __init__(
        self, model: nn.Module, sample: tuple[int, ...], batch: int, macs: int, elements: int
    ) -> None:
        self.model = model
        self.inputs = torch.randn((batch, *sample), generator=rng.generator(0, rng.Purpose.VERIFICATION))
        self.batch, self.macs, self.elements = batch, macs, elements


def _cases() -> list[_Case]:
    with rng.as_default(0, rng.Purpose.INITIAL_WEIGHTS):
        convolution = nn.Sequential(
            nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(16 * 12 * 12, 10),
        )  # fmt: skip
        linear = nn.Sequential(
            nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )
    positions = 24 * 24
    flat = 16 * 12 * 12
    return [
        _Case(
            convolution, (8, 24, 24), 64, positions * 72 * 16 + flat * 10, positions * (72 + 16) + flat + 50
        ),
        _Case(linear, (512,), 256, 2 * 512 * 512 + 5120, 4 * 512 + 522),
    ]


_Timer = Callable[[_Case, InferenceRPUConfig | None], tuple[_Case, float]]


def _tiny() -> _Case:
    """Return a network whose time is what a call of a tile costs beside its work."""
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(_TINY_LAYERS)))
    return _Case(model, (4,), batch=2, macs=0, elements=0)


def _with_modifier(config: InferenceRPUConfig) -> InferenceRPUConfig:
    config.modifier = WeightModifierParameter(type=WeightModifierType.ADD_NORMAL, std_dev=0.1)
    return config


def _evaluate(case: _Case, config: InferenceRPUConfig | None) -> tuple[_Case, float]:
    model = case.model.eval()
    if config is not None:
        model = convert_to_analog(model, config, channels_last=True).eval()
        program_analog_weights(model)
        drift_analog_weights(model, 1.0)
    with torch.inference_mode():
        return case, _best(lambda: model(case.inputs))


def _train(case: _Case, config: InferenceRPUConfig | None) -> tuple[_Case, float]:
    model = case.model if config is None else convert_to_analog(case.model, config, channels_last=True)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    targets = torch.zeros(case.batch, dtype=torch.int64)

    def step() -> None:
        optimizer.zero_grad()
        loss: Tensor = functional.cross_entropy(model(case.inputs), targets)
        loss.backward()
        optimizer.step()
        post_update_step(model)

    return case, _best(step)


def _program_device() -> float:
    """Return the seconds that programming and drift take per device."""
    model = convert_to_analog(nn.Linear(512, 512), preset("PCMExamplePreset")).eval()

    def once() -> None:
        program_analog_weights(model)
        drift_analog_weights(model, 1.0)

    return _best(once) / (2 * 512 * 512)


def _best(work: Callable[[], object]) -> float:
    work()  # the first run allocates
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _plausible_rates(timed: _Timer, config: InferenceRPUConfig | None) -> dict[str, float]:
    """Time the two networks until products cost something: beside other work one time may mislead."""
    for _ in range(_TRIES):
        rates = _rates([timed(case, config) for case in _cases()])
        if rates["mac"] > 0:
            break
    return rates


def _rates(timed: list[tuple[_Case, float]]) -> dict[str, float]:
    """Solve time = macs x mac + elements x element for the two costs, neither of them negative."""
    from scipy.optimize import nnls

    sizes = [[case.batch * case.macs, case.batch * case.elements] for case, _ in timed]
    # Each time counts by its ratio, not by its seconds.
    scaled = [[size / seconds for size in row] for row, (_, seconds) in zip(sizes, timed, strict=True)]
    (mac, element), _ = nnls(scaled, [1.0] * len(timed))
    return {"mac": float(mac), "element": float(element)}


def main() -> int:
    """Print what was measured, as JSON."""
    keep_freed_memory()
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

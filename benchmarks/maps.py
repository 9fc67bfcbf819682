"""How many devices a suggested map of layers costs more than the best one: `python -m benchmarks.maps`.

Networks of five to eight layers are trained on `builtin:mnist10k` and evaluated on noisy phase-change memory
under every map, that is with each subset of their layers digital. The search of `layer_sensitivity` is then
run on what was measured, and what it suggests is held against the map that reaches the target with the fewest
devices taken off the tiles. Writes `benchmarks/maps.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from app.engine.kinds.analyses.layer_sensitivity import first, further, search
from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from simulator import rng
from simulator.config import InferenceRPUConfig, Variant
from simulator.config.analyses import LayerSensitivity
from simulator.config.analyses.layer_sensitivity import setting_of
from simulator.config.evaluation import EvaluateSpec
from simulator.config.job import JobSpec
from simulator.config.overrides import with_overrides
from simulator.config.presets import preset
from simulator.config.tasks import Metric, Task
from simulator.data.loading import load_dataset
from simulator.evaluate import Samples, accuracy, evaluate_cells
from simulator.nn import convert_to_analog

RESULTS: Final = Path(__file__).with_name("maps.json")
SEED, EPOCHS, BATCH_SIZE = 1, 4, 64
CHIPS, SAMPLES, YEAR_S = 5, 400, 31536000.0
TARGETS: Final = (0.005, 0.01, 0.02, 0.04)
HARDWARE: Final[dict[str, dict[str, Any]]] = {
    "noisy weights": {"forward": {"w_noise": 0.06, "out_noise": 0.04}},
    "noisy outputs": {"forward": {"w_noise": 0.02, "out_noise": 0.15}},
}


def networks() -> dict[str, nn.Sequential]:
    """Return the networks, untrained, by name; each layer on tiles has a name."""
    return {
        "five linear layers": _linear(128, 96, 64, 32),
        "seven linear layers": _linear(128, 96, 64, 48, 32, 24),
        "four convolutions, two linear layers": _convolutions(8, 16, 24, 32),
        "six convolutions, two linear layers": _convolutions(8, 8, 16, 16, 24, 32),
    }


def _linear(*widths: int) -> nn.Sequential:
    sizes = (784, *widths, 10)
    network = nn.Sequential()
    network.add_module("flat", nn.Flatten())
    for index in range(len(sizes) - 1):
        if index:
            network.add_module(f"relu{index}", nn.ReLU())
        network.add_module(f"fc{index + 1}", nn.Linear(sizes[index], sizes[index + 1]))
    return network


def _convolutions(*channels: int) -> nn.Sequential:
    network = nn.Sequential()
    before, pools = 1, {len(channels) // 2 - 1, len(channels) - 1}
    for index, after in enumerate(channels):
        network.add_module(f"conv{index + 1}", nn.Conv2d(before, after, 3, padding=1))
        network.add_module(f"relu{index + 1}", nn.ReLU())
        if index in pools:
            network.add_module(f"pool{index + 1}", nn.MaxPool2d(2))
        before = after
    network.add_module("flat", nn.Flatten())
    network.add_module("fc1", nn.Linear(before * 49, 32))
    network.add_module("relu_fc1", nn.ReLU())
    network.add_module("fc2", nn.Linear(32, 10))
    return network


def train(network: nn.Sequential, data: Samples) -> None:
    """Train a network in place."""
    images, labels = data.inputs[0], data.targets
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(labels), generator=rng.generator(SEED, rng.Purpose.SAMPLE_ORDER, epoch))
        for index in order.split(BATCH_SIZE):
            loss = functional.cross_entropy(network(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()


def subject_of(network: nn.Sequential, config: InferenceRPUConfig) -> Subject:
    """Return the network as analyses see it."""
    layers: dict[str, dict[str, Any]] = {}
    for name, module in network.named_children():
        if isinstance(module, nn.Linear | nn.Conv2d):
            shape = [module.weight.shape[0], module.weight[0].numel()]
            layers[name] = {"name": name, "kind": "analog", "weight_shape": shape, "bias": True}
    evaluate = EvaluateSpec(t_inference=(YEAR_S,), repeats=CHIPS, variants=(Variant.DIRECT,))
    return Subject(JobSpec(evaluate=evaluate, seed=SEED), config, layers)


def measure(network: nn.Sequential, data: Samples, subject: Subject) -> Measured:
    """Return what chips reach under every map of a network's layers but the one that is all digital."""
    with torch.inference_mode():
        right = network(data.inputs[0]).argmax(dim=1) == data.targets
    own: dict[Any, float | None] = {}
    settings: dict[Any, float | None] = {}
    for digital in _maps(subject):
        model = convert_to_analog(network, subject.config, digital=digital, seed=SEED, check=False).eval()
        found: dict[int, float] = {}
        evaluate_cells(
            model, data, task=Task.CLASSIFICATION, repeats=range(CHIPS), times_s=(YEAR_S,),
            batch_size=SAMPLES,
            on_cell=lambda repeat, _, score, found=found: found.update({repeat: accuracy(score)}),
        )  # fmt: skip
        key = setting_of(digital, list(subject.layers)).key
        for chip, value in found.items():
            place = (Variant.DIRECT.value, YEAR_S, chip)
            if digital:
                settings[key, place] = value
            else:
                own[place] = value
    reached = {Variant.DIRECT.value: float(right.double().mean())}
    return Measured(Metric.ACCURACY, reached, own, settings, seen={}, coordinates={})


def _maps(subject: Subject) -> Iterator[tuple[str, ...]]:
    layers = list(subject.layers)
    for count in range(len(layers)):
        yield from combinations(layers, count)


def compare(subject: Subject, measured: Measured, target: float) -> dict[str, Any]:
    """Return what the search suggests for a target beside the best of all maps."""
    asked = LayerSensitivity(target_drop=target)
    settings = dict(_of(measured, first(asked, subject, Variant.DIRECT)))
    known = replace(measured, settings=settings)
    while wanted := further(asked, subject, Variant.DIRECT, known):
        settings.update(_of(measured, wanted))
    evaluated = len({key for key, _ in settings})
    state = search(asked, subject, Variant.DIRECT, known)
    if state is None:
        raise RuntimeError("the search has no answer although everything was measured")
    every = tuple(subject.layers)
    enough = [digital for digital in _maps(subject) if _loss(subject, measured, digital) <= target]
    best = min((*enough, every), key=lambda digital: _devices(subject, digital))
    suggested = state.digital
    total = _devices(subject, every)
    return {
        "target_drop": target,
        "loss_all_analog": _loss(subject, measured, ()),
        "suggested": sorted(suggested, key=every.index),
        "best": list(best),
        "suggested_share": _devices(subject, suggested) / total,
        "best_share": _devices(subject, best) / total,
        "evaluated_maps": evaluated,
        "all_maps": 2 ** len(every),
    }


def _of(measured: Measured, wanted: Sequence[Any]) -> Iterator[tuple[Any, float | None]]:
    keys = {setting.key for setting in wanted}
    return ((place, value) for place, value in measured.settings.items() if place[0] in keys)


def _loss(subject: Subject, measured: Measured, digital: Sequence[str]) -> float:
    key = setting_of(digital, list(subject.layers)).key if digital else None
    rows = measured.losses([key], Variant.DIRECT.value, YEAR_S, CHIPS)
    if rows is None:
        raise RuntimeError("an accuracy is not finite")
    return sum(row[0] for row in rows) / CHIPS


def _devices(subject: Subject, digital: Sequence[str]) -> int:
    return sum(subject.devices[name] for name in digital)


def main() -> None:
    """Measure all networks on all hardware, print a line for each case, and store them."""
    data = load_dataset("builtin:mnist10k")
    train_set = Samples(data.train.inputs, data.train.targets)
    test = Samples(data.test.inputs, data.test.targets).first(SAMPLES)
    found: list[dict[str, Any]] = []
    for name, network in networks().items():
        train(network, train_set)
        for hardware, overrides in HARDWARE.items():
            subject = subject_of(network, with_overrides(preset("PCMExamplePreset"), overrides))
            measured = measure(network, test, subject)
            for target in TARGETS:
                case = {"network": name, "hardware": hardware, **compare(subject, measured, target)}
                found.append(case)
                print(
                    f"{name}, {hardware}, target {target}: all analog loses {case['loss_all_analog']:.3f};"
                    f" suggested {100 * case['suggested_share']:.2f} % of the devices {case['suggested']},"
                    f" best {100 * case['best_share']:.2f} % {case['best']};"
                    f" {case['evaluated_maps']} of {case['all_maps']} maps evaluated",
                    flush=True,
                )
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with rng.as_default(SEED, rng.Purpose.INITIAL_WEIGHTS):
        main()

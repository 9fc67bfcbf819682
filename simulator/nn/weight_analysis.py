"""What programming and drift make of each layer's weights, as histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulator.nn.layer import AnalogLayer
from simulator.nn.model import analog_layers, drift_analog_weights, program_analog_weights
from simulator.tile.histogram import Histogram

_LIMIT = 1.25
_BINS = 50


@dataclass(frozen=True)
class DriftedWeights:
    """A layer's weights at one time.

    Attributes:
        t_inference_s: seconds after programming.
        weights: their histogram, in units of g_max, before drift compensation.
    """

    t_inference_s: float
    weights: Histogram


@dataclass(frozen=True)
class WeightAnalysis:
    """A layer's weights on one chip, all tiles together, in units of g_max.

    Attributes:
        name: of the layer in the model.
        target: histogram of what was to be programmed.
        programmed: histogram of what programming left.
        programmed_mean: mean of the programmed weights whose target is in each bin; None in an empty bin.
        programmed_std: their standard deviation; None in an empty bin.
        drifted: the weights at later times.
    """

    name: str
    target: Histogram
    programmed: Histogram
    programmed_mean: tuple[float | None, ...]
    programmed_std: tuple[float | None, ...]
    drifted: tuple[DriftedWeights, ...]


@torch.no_grad()
def analyse_weights(
    model: nn.Module, times_s: Sequence[float], repeat: int = 0
) -> tuple[WeightAnalysis, ...]:
    """Program a chip and let it drift, and say what that makes of the weights.

    Args:
        model: an analog model; afterwards it is programmed, and drifted to the last time.
        times_s: seconds after programming.
        repeat: which chip instance.
    """
    layers = list(analog_layers(model))
    program_analog_weights(model, repeat=repeat)
    targets = {name: _targets(layer) for name, layer in layers}
    programmed = {name: _weights(layer) for name, layer in layers}
    drifted: dict[str, list[DriftedWeights]] = {name: [] for name, _ in layers}
    for time_s in times_s:
        drift_analog_weights(model, time_s)
        for name, layer in layers:
            drifted[name].append(DriftedWeights(time_s, _histogram(_weights(layer))))
    return tuple(
        WeightAnalysis(
            name,
            _histogram(targets[name]),
            _histogram(programmed[name]),
            *_by_target(targets[name], programmed[name]),
            tuple(drifted[name]),
        )
        for name, _ in layers
    )


def _targets(layer: AnalogLayer) -> list[Tensor]:
    return [tile.target_weights(layer.logical_block(slot)).detach() for slot, tile in layer.tile_slots()]


def _weights(layer: AnalogLayer) -> list[Tensor]:
    return [tile.chip.weights_OI for _, tile in layer.tile_slots() if tile.chip is not None]


def _histogram(tensors: Sequence[Tensor]) -> Histogram:
    found = Histogram(_LIMIT, _BINS)
    for one in tensors:
        found.add(one)
    return found


def _by_target(
    targets: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Return mean and standard deviation of the weights in each bin of their targets."""
    bins = Histogram(_LIMIT, _BINS)
    sums = torch.zeros(3, _BINS, dtype=torch.float64)  # of 1, w, w²
    for target, weight in zip(targets, weights, strict=True):
        place = bins.places(target).cpu()
        value = weight.detach().reshape(-1).double().cpu()
        for power in range(3):
            sums[power].index_add_(0, place, value**power)
    count, total, squares = sums
    mean = total / count
    std = (squares / count - mean**2).clamp(min=0).sqrt()
    return tuple(map(_known, mean.tolist())), tuple(map(_known, std.tolist()))


def _known(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 - not a number where the bin is empty

"""How well each analog layer does on real inputs: signal-to-noise ratio, clipping, ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from simulator.nn.layer import AnalogLayer
from simulator.nn.model import analog_layers, noise_context
from simulator.nn.tile import AS_CONFIGURED, TileMode
from simulator.tile import ClippingMeter
from simulator.tile.histogram import Histogram


@dataclass(frozen=True)
class TileAnalysis:
    """One tile under real inputs.

    Attributes:
        row: of the tile in its layer's grid.
        column: of the tile in its layer's grid.
        largest_weight: the largest |w| on the tile, normalised: 1 is g_max.
        input_range: its input range in units of the layer's input; None without.
        dac_clipped: share of the values at the DACs that were clipped, by the input range or the DAC's bound.
        adc_clipped: share of the values at the ADCs that were clipped, those that bound management converts
            again included. Both are None where products are perfect, and nothing is converted.
    """

    row: int
    column: int
    largest_weight: float
    input_range: float | None
    dac_clipped: float | None
    adc_clipped: float | None


@dataclass(frozen=True)
class LayerAnalysis:
    """One analog layer under the inputs that arrive at it.

    Attributes:
        name: in the model.
        weight_range: smallest and largest logical weight.
        snr_db: power of the digital layer's outputs over that of the analog layer's error, in dB; infinite
            where they are equal, None where the digital outputs are zero or the analog ones not finite.
        tiles: the layer's tiles.
        dac: histogram of what its DACs get, in units of what they clip at; None where nothing is converted.
        adc: the same of its ADCs.
    """

    name: str
    weight_range: tuple[float, float]
    snr_db: float | None
    tiles: tuple[TileAnalysis, ...]
    dac: Histogram | None
    adc: Histogram | None


@torch.no_grad()
def analyse_layers(model: nn.Module, *inputs: Tensor) -> tuple[LayerAnalysis, ...]:
    """Run an analog model once, in evaluation mode, and compare each analog layer with its digital form.

    What is compared is a layer's own error: both forms get the inputs that arrive at the analog one. A model
    that was programmed is looked at as it is now, with drift and compensation; otherwise with its clean
    weights and the noise of the forward pass.

    Args:
        model: an analog model; its mode is put back.
        inputs: the model's arguments, with the batch first.

    Returns:
        The layers that were called, in the order of the model's modules; a layer that is called several
        times counts all its calls.
    """
    watches = {name: _Watch(layer) for name, layer in analog_layers(model)}
    context, was_training = noise_context(model), model.training
    model.eval()
    hooks = [watch.layer.register_forward_hook(watch.compare) for watch in watches.values()]
    try:
        if context is not None:
            context.at_batch(0)
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for watch in watches.values():
            watch.end()
        model.train(was_training)
    return tuple(watch.result(name) for name, watch in watches.items() if watch.calls)


class _Watch:
    """Listens to one layer."""

    def __init__(self, layer: AnalogLayer) -> None:
        self.layer = layer
        self.digital: Callable[..., Tensor] = layer.to_digital().eval()
        self.calls = 0
        self.signal = self.error = 0.0
        self.meters = [ClippingMeter() for _ in layer.tiles]
        for (_, tile), meter in zip(layer.tile_slots(), self.meters, strict=True):
            tile.set_mode(TileMode(clipping=meter))

    def compare(self, _: nn.Module, arguments: tuple[Any, ...], outputs: Tensor) -> None:
        """Add a call's signal and error."""
        ideal = self.digital(*arguments)
        self.calls += 1
        self.signal += float(ideal.double().square().sum())
        self.error += float((outputs - ideal).double().square().sum())

    def end(self) -> None:
        """Stop counting."""
        for _, tile in self.layer.tile_slots():
            tile.set_mode(AS_CONFIGURED)

    def result(self, name: str) -> LayerAnalysis:
        """Return what was seen."""
        tiles = []
        for (slot, tile), meter in zip(self.layer.tile_slots(), self.meters, strict=True):
            block = tile.target_weights(self.layer.logical_block(slot))
            tiles.append(
                TileAnalysis(
                    row=slot.row,
                    column=slot.column,
                    largest_weight=float(block.abs().max()),
                    input_range=None if tile.input_range is None else float(tile.input_range),
                    dac_clipped=meter.dac_clipped,
                    adc_clipped=meter.adc_clipped,
                )
            )
        weight = self.layer.weight
        return LayerAnalysis(
            name=name,
            weight_range=(float(weight.min()), float(weight.max())),
            snr_db=_decibels(self.signal, self.error),
            tiles=tuple(tiles),
            dac=_pooled(meter.dac for meter in self.meters if meter.inputs),
            adc=_pooled(meter.adc for meter in self.meters if meter.outputs),
        )


def _pooled(histograms: Iterable[Histogram]) -> Histogram | None:
    total = None
    for one in histograms:
        if total is None:
            total = Histogram(one.limit, one.bins)
        total.merge(one)
    return total


def _decibels(signal: float, error: float) -> float | None:
    if signal == 0 or not math.isfinite(signal) or not math.isfinite(error):
        return None
    # The ratio of what is next to nothing to an error is no number, its logarithm is.
    return math.inf if error == 0 else 10 * (math.log10(signal) - math.log10(error))

"""Counting what a tile's converters get and clip, on request; the forward pass does not need it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from simulator.tile.histogram import Histogram

BEYOND = 1.5  # of its bound: what a converter's histogram shows
_BINS = 120


def _histogram() -> Histogram:
    return Histogram(BEYOND, _BINS)


@dataclass
class ClippingMeter:
    """Counts values at the DACs and ADCs of a tile; what bound management converts again counts again.

    Attributes:
        inputs: values that went into a DAC.
        inputs_clipped: of them, beyond its range.
        outputs: values that went into an ADC.
        outputs_clipped: of them, beyond its range.
        dac: histogram of the DACs' inputs in units of what the DAC or the input range clips at; of 1, the
            full scale, where nothing clips.
        adc: the same of the ADCs' inputs.
        has_range: the inputs passed an input range, and were seen there.
    """

    inputs: int = 0
    inputs_clipped: int = 0
    outputs: int = 0
    outputs_clipped: int = 0
    dac: Histogram = field(default_factory=_histogram)
    adc: Histogram = field(default_factory=_histogram)
    has_range: bool = False

    @torch.no_grad()
    def count_inputs(self, values: Tensor, bound: float, *, again: bool = False) -> None:
        """Count the values beyond the bound; `again`: they count at another bound, too, this is a range's."""
        self.has_range |= again
        if again or not self.has_range:
            self.dac.add(_in_units(values, bound))
        self.inputs += 0 if again else values.numel()
        self.inputs_clipped += int((values.abs() > bound).sum())

    @torch.no_grad()
    def count_outputs(self, values: Tensor, bound: float) -> None:
        """Count the values beyond the bound."""
        self.adc.add(_in_units(values, bound))
        self.outputs += values.numel()
        self.outputs_clipped += int((values.abs() > bound).sum())

    @property
    def dac_clipped(self) -> float | None:
        """Share of the inputs that were clipped; None where nothing was converted."""
        return self.inputs_clipped / self.inputs if self.inputs else None

    @property
    def adc_clipped(self) -> float | None:
        """Share of the outputs that were clipped; None where nothing was converted."""
        return self.outputs_clipped / self.outputs if self.outputs else None


def _in_units(values: Tensor, bound: float) -> Tensor:
    return values / bound if math.isfinite(bound) else values

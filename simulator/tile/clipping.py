"""Counting what a tile's converters clip, for whoever wants to know; the forward pass does not need it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class ClippingMeter:
    """Counts values at the DACs and ADCs of a tile; what bound management converts again counts again.

    Attributes:
        inputs: values that went into a DAC.
        inputs_clipped: of them, beyond its range.
        outputs: values that went into an ADC.
        outputs_clipped: of them, beyond its range.
    """

    inputs: int = 0
    inputs_clipped: int = 0
    outputs: int = 0
    outputs_clipped: int = 0

    @torch.no_grad()
    def count_inputs(self, values: Tensor, bound: float, *, again: bool = False) -> None:
        """Count the values beyond the bound; `again`: these values were counted before, at another bound."""
        self.inputs += 0 if again else values.numel()
        self.inputs_clipped += int((values.abs() > bound).sum())

    @torch.no_grad()
    def count_outputs(self, values: Tensor, bound: float) -> None:
        """Count the values beyond the bound."""
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

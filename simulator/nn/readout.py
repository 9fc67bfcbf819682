"""Whether the readouts that drift compensation rests on mean something, on a chip that was programmed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from simulator.nn.model import analog_layers
from simulator.nn.tile import AnalogTile


@dataclass(frozen=True)
class CoarseReadout:
    """A tile whose readout after programming is below one code of its ADC.

    Its factor is made of rounding and noise more than of drift: small weights are read as zero, so that what
    is left of the mean falls faster than the conductances do.

    Attributes:
        layer: the layer's name in the model.
        row: of the tile in its layer's grid.
        column: of the tile in its layer's grid.
        share: of the readouts that are below one code: 1 for a tile with one readout, else of its outputs.
        smallest: the smallest readout, in units of what one device of |w| = 1 gives at input 1.
        code: one step of the ADC in these units.
    """

    layer: str
    row: int
    column: int
    share: float
    smallest: float
    code: float

    def __str__(self) -> str:
        """Say it in a sentence, with what to do."""
        return (
            f"{self.layer} ({self.row}, {self.column}): drift compensation reads {self.smallest:.3g} where "
            f"one step of the ADC is {self.code:.3g} ({100 * self.share:.0f} % of its readouts are less), so "
            "that its factor is coarse and biased. Give the ADC more steps or a smaller out_bound, or leave "
            "drift compensation out"
        )


def coarse_readouts(model: nn.Module) -> list[CoarseReadout]:
    """Return the tiles of a programmed model whose drift compensation reads less than one code of the ADC.

    Args:
        model: programmed, with drift compensation; otherwise there is nothing to report.
    """
    return [
        CoarseReadout(
            layer=name,
            row=slot.row,
            column=slot.column,
            share=float((baseline < code).float().mean()),
            smallest=float(baseline.min()),
            code=code,
        )
        for name, layer in analog_layers(model)
        for slot, tile in layer.tile_slots()
        if (code := _code(tile)) > 0
        and tile.chip is not None
        and (baseline := tile.chip.baseline) is not None
        and bool(torch.any(baseline < code))
    ]


def _code(tile: AnalogTile) -> float:
    """One step of the ADC in units of the readout of unit vectors, which scale themselves to one."""
    plan = tile.plan
    if plan.is_perfect:
        return 0.0
    scale = 1.0 if plan.static_scale is None else plan.static_scale
    return plan.adc.step * scale * abs(plan.out_scale)

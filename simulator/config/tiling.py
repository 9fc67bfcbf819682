"""How a layer's weight matrix is cut into tiles. Plain arithmetic, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from simulator.config.mapping import MappingParameter


@dataclass(frozen=True)
class TileSlot:
    """Where a tile lies in its layer's weight matrix.

    Attributes:
        row: index along the outputs, over all groups.
        column: index along the inputs.
        group: of a grouped convolution.
        outputs: rows of the layer's weight matrix `[out, in / groups]`.
        inputs: columns of it; an analog bias is the column after the last.
    """

    row: int
    column: int
    group: int
    outputs: slice
    inputs: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs of the tile."""
        return self.outputs.stop - self.outputs.start, self.inputs.stop - self.inputs.start


def split_evenly(size: int, limit: int) -> list[slice]:
    """Cut a range into the fewest parts of at most `limit`, as evenly as possible; 0 is no limit."""
    parts = math.ceil(size / limit) if limit > 0 else 1
    quotient, rest = divmod(size, parts)
    edges = [index * quotient + min(index, rest) for index in range(parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def tile_grid(out_features: int, in_features: int, groups: int, max_out: int, max_in: int) -> list[TileSlot]:
    """Cut a layer's matrix into tiles: group by group, inputs outside, outputs inside.

    Args:
        out_features: outputs of the layer, over all groups.
        in_features: inputs of one group, with an analog bias.
        groups: of a convolution; each has tiles of its own.
        max_out: most outputs of a tile, 0 is no limit.
        max_in: most inputs of a tile, 0 is no limit.
    """
    group_size = out_features // groups
    rows = split_evenly(group_size, max_out)
    return [
        TileSlot(
            row=group * len(rows) + row,
            column=column,
            group=group,
            outputs=slice(group * group_size + outputs.start, group * group_size + outputs.stop),
            inputs=inputs,
        )
        for group in range(groups)
        for column, inputs in enumerate(split_evenly(in_features, max_in))
        for row, outputs in enumerate(rows)
    ]


def weight_slots(
    weight_shape: Sequence[int], groups: int, *, has_bias: bool, mapping: MappingParameter
) -> list[TileSlot]:
    """Return the tiles of a layer with that weight in torch's layout: `[out, in / groups, ...]`."""
    inputs = math.prod(weight_shape[1:]) + int(has_bias and not mapping.digital_bias)
    return tile_grid(weight_shape[0], inputs, groups, mapping.max_output_size, mapping.max_input_size)


def tile_cells(slot_shape: tuple[int, int], mapping: MappingParameter) -> int:
    """Return how many cells the crossbar of a tile has, used or not."""
    out_features, in_features = slot_shape
    return (mapping.max_output_size or out_features) * (mapping.max_input_size or in_features)

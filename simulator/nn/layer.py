"""What all analog layers share: a weight matrix cut into a grid of tiles.

Legend of shapes: O outputs and I inputs of a tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Self, cast

import torch
from torch import Tensor, nn

from simulator.config import InferenceRPUConfig
from simulator.config.tiling import TileSlot, tile_grid
from simulator.nn.tile import AnalogTile
from simulator.rng import NoiseContext
from simulator.tile import LayerProduct


class InputParts:
    """The stretches of a layer's inputs that its tiles take.

    Args:
        stretches: of each tile, ascending where they differ.
        size: how many inputs there are.
    """

    def __init__(self, stretches: Sequence[slice], size: int) -> None:
        edges = sorted({(stretch.start, stretch.stop) for stretch in stretches})
        self._stretches = stretches
        self._which = [edges.index((stretch.start, stretch.stop)) for stretch in stretches]
        follow_on = all(one[1] == other[0] for one, other in pairwise([(0, 0), *edges, (size, size)]))
        self._sizes = [stop - start for start, stop in edges] if follow_on else None

    def of(self, x: Tensor, dim: int) -> list[Tensor]:
        """Return each tile's part; gradients of parts that do not overlap are put side by side, not added."""
        if self._sizes is None:
            return [x.narrow(dim, part.start, part.stop - part.start) for part in self._stretches]
        parts = x.split(self._sizes, dim) if len(self._sizes) > 1 else (x,)
        return [parts[which] for which in self._which]


def not_finite(*parameters: Tensor | None) -> str | None:
    """Say how many weights are NaN or infinite, which no device can have; None if all are finite."""
    given = [one.detach() for one in parameters if one is not None and not one.is_meta]
    count = sum(int((~one.isfinite()).sum()) for one in given)
    if count == 0:
        return None
    size = sum(one.numel() for one in given)
    return f"{count} of {size} weights are NaN or infinite"


def _sizes(stretches: Iterable[slice]) -> list[int]:
    """Return how long different stretches are, in their order."""
    return [stop - start for start, stop in sorted({(one.start, one.stop) for one in stretches})]


class AnalogLayer(nn.Module):
    """A layer whose matrix-vector products run on analog tiles.

    The trainable parameters are `weight` and `bias`, in the layer's own units and under the names of the
    plain torch layer; each tile works with its block divided by its mapping scale.

    Attributes:
        weight: logical weights, shaped as in the plain layer.
        bias: logical bias, or None.
        rpu_config: the layer's configuration.
        layer_name: the layer's name in its model, part of the key of every random stream.
        noise_context: where in a simulation the model is; shared by all its layers.
    """

    digital_type: type[nn.Module]
    _parts: InputParts

    def __init__(self, digital: nn.Module, rpu_config: InferenceRPUConfig, groups: int = 1) -> None:
        super().__init__()
        self.rpu_config = rpu_config = rpu_config.frozen()
        weight, bias = digital.weight, digital.bias
        if not isinstance(weight, nn.Parameter):
            raise TypeError(f"{type(digital).__name__}.weight is not a plain parameter")
        self.weight = weight
        self.bias = bias if isinstance(bias, nn.Parameter) else None
        mapping = rpu_config.mapping
        self.in_rows = weight[0].numel()
        self.analog_bias = self.bias is not None and not mapping.digital_bias
        self.slots = tile_grid(
            weight.shape[0],
            self.in_rows + int(self.analog_bias),
            groups,
            mapping.max_output_size,
            mapping.max_input_size,
        )
        self._row_sizes = _sizes(slot.outputs for slot in self.slots)
        self._column_sizes = _sizes(slot.inputs for slot in self.slots)
        self.tiles = nn.ModuleList(AnalogTile(*slot.shape, rpu_config) for slot in self.slots)
        self.tiles.to(weight.device)
        self.train(digital.training)
        self.bound_to_model = False
        self.layer_name = ""
        self.noise_context = NoiseContext()
        self._hand_out(self.noise_context, "")
        self.map_weights()

    def bind(self, context: NoiseContext, name: str) -> None:
        """Give the layer its name and the noise context that it shares with its model."""
        self.bound_to_model = True
        self._hand_out(context, name)

    def _hand_out(self, context: NoiseContext, name: str) -> None:
        self.layer_name, self.noise_context = name, context
        for slot, tile in self.tile_slots():
            tile.context, tile.key = context, (name, slot.row, slot.column)

    def tile_slots(self) -> Iterator[tuple[TileSlot, AnalogTile]]:
        """Iterate over the layer's tiles with their places."""
        return zip(self.slots, cast("Iterable[AnalogTile]", self.tiles), strict=True)

    def logical_block(self, slot: TileSlot) -> Tensor:
        """Return a tile's block of logical weights, `[O, I]`, with the bias column where it has one."""
        matrix = self.weight if self.weight.dim() == 2 else self.weight.flatten(1)
        if len(self.slots) == 1 and not self.analog_bias:
            return matrix
        block = matrix[slot.outputs, slot.inputs]
        if self.analog_bias and self.bias is not None and slot.inputs.stop > self.in_rows:
            block = torch.cat([block, self.bias[slot.outputs].unsqueeze(1)], dim=1)
        return block

    def _run_tiles(self, x: Tensor, products: Sequence[LayerProduct], channel_dim: int) -> Tensor:
        """Run every tile; add partial sums over the inputs digitally, put the outputs side by side.

        A digital bias is added in the end, by the tile where there is one alone.
        """
        bias = None if self.analog_bias else self.bias
        if len(self.slots) == 1:
            (tile,) = self.tiles
            block = None if tile.reads_devices else self._whole_block()
            return cast("Tensor", tile(x, block, products[0], bias))
        blocks: Sequence[Tensor | None] = [None] * len(self.slots)
        if not all(tile.reads_devices for tile in self.tiles):
            blocks = self._logical_blocks()
        rows: dict[int, Tensor] = {}
        inputs = self._parts.of(x, channel_dim)
        for slot, tile, part, block, product in zip(
            self.slots, self.tiles, inputs, blocks, products, strict=True
        ):
            y = tile(part, None if tile.reads_devices else block, product)
            rows[slot.row] = rows[slot.row] + y if slot.row in rows else y
        y = rows[0] if len(rows) == 1 else torch.cat([rows[row] for row in sorted(rows)], dim=channel_dim)
        if bias is None:
            return y
        return y + (bias if channel_dim == -1 else bias.reshape(-1, *(1 for _ in y.shape[2:])))

    def _whole_block(self) -> Tensor:
        """The logical weights of the only tile, `[O, ...]`."""
        return self.logical_block(self.slots[0]) if self.analog_bias else self.weight

    def _logical_blocks(self) -> list[Tensor]:
        """Every tile's block; their gradients are put side by side, where `logical_block` would add them."""
        matrix = self.weight.flatten(1)
        if self.analog_bias and self.bias is not None:
            matrix = torch.cat([matrix, self.bias.unsqueeze(1)], dim=1)
        rows = [row.split(self._column_sizes, dim=1) for row in matrix.split(self._row_sizes)]
        return [rows[slot.row][slot.column] for slot in self.slots]

    # --- weights -------------------------------------------------------------------------------------------

    def map_weights(self) -> None:
        """Set the mapping scales from the present weights, and learned output scales to one."""
        for slot, tile in self.tile_slots():
            tile.map_weights(self.logical_block(slot))
            if tile.out_scaling is not None:
                nn.init.ones_(tile.out_scaling)

    @torch.no_grad()
    def set_weights(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Put other logical weights into the layer, map them anew, and forget what was programmed.

        Raises:
            ValueError: shapes differ, or a bias is given to a layer without one.
        """
        given = None if bias is None else tuple(bias.shape)
        own = None if self.bias is None else tuple(self.bias.shape)
        if tuple(weight.shape) != tuple(self.weight.shape) or (given is not None and given != own):
            raise ValueError(
                f"expected weight {tuple(self.weight.shape)} and bias {own}, "
                f"got weight {tuple(weight.shape)} and bias {given}"
            )
        self.weight.copy_(weight)
        if bias is not None and self.bias is not None:
            self.bias.copy_(bias)
        self.map_weights()
        self.forget_programming()

    @torch.no_grad()
    def effective_weights(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the digital layer that computes the same, learned scales included."""
        weight = self.weight.detach().clone()
        bias = None if self.bias is None else self.bias.detach().clone()
        matrix = weight.flatten(1)
        for slot, tile in self.tile_slots():
            if tile.out_scaling is None:
                continue
            columns = slice(slot.inputs.start, min(slot.inputs.stop, self.in_rows))
            matrix[slot.outputs, columns] *= tile.out_scaling.unsqueeze(1)
            if bias is not None and self.analog_bias and slot.inputs.stop > self.in_rows:
                bias[slot.outputs] *= tile.out_scaling
        return matrix.reshape(weight.shape), bias

    def remap(self) -> None:
        """Fold learned output scales into the weights, map these anew, and forget what was programmed.

        The layer computes the same digitally. Weights that learned scales were folded into are a new
        parameter: another layer may share the old one and have other scales.
        """
        if any(tile.out_scaling is not None for _, tile in self.tile_slots()):
            weight, bias = self.effective_weights()
            self.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)
            if bias is not None and self.bias is not None and self.analog_bias:
                self.bias = nn.Parameter(bias, requires_grad=self.bias.requires_grad)
        self.map_weights()
        self.forget_programming()

    @torch.no_grad()
    def post_update_step(self) -> None:
        """Clip and remap every tile's weights after an optimiser step."""
        matrix = self.weight.flatten(1)
        is_view = matrix.data_ptr() == self.weight.data_ptr()  # but of a weight with channels last in memory
        for slot, tile in self.tile_slots():
            block = self.logical_block(slot)
            updated = tile.after_update(block)
            has_bias = self.analog_bias and slot.inputs.stop > self.in_rows
            if updated is block and is_view and not has_bias:
                continue  # changed in place, if at all
            columns = slice(slot.inputs.start, min(slot.inputs.stop, self.in_rows))
            matrix[slot.outputs, columns] = updated[:, : columns.stop - columns.start]
            if has_bias and self.bias is not None:
                self.bias[slot.outputs] = updated[:, -1]
        if not is_view:
            self.weight.copy_(matrix.view_as(self.weight))

    # --- programming ---------------------------------------------------------------------------------------

    def program(self) -> None:
        """Program the present weights onto the chip instance that the noise context is at.

        Raises:
            ValueError: weights are NaN or infinite: one would spoil its whole tile.
        """
        if fault := not_finite(self.weight, self.bias):
            raise ValueError(
                f"{self.layer_name or type(self).__name__}: {fault}, and would make their whole tile so"
            )
        for slot, tile in self.tile_slots():
            tile.program(self.logical_block(slot))

    def drift(self, t_inference_s: float, *, compensate: bool = True) -> None:
        """Let the programmed devices drift to a time in s after programming, and compensate."""
        for _, tile in self.tile_slots():
            tile.drift(t_inference_s, compensate=compensate)

    def compensate(self) -> None:
        """Read the devices out as they are now, and set the factors of the drift compensation."""
        for _, tile in self.tile_slots():
            tile.compensate()

    def forget_programming(self) -> None:
        """Return to the clean weights."""
        for _, tile in self.tile_slots():
            tile.forget_programming()

    def products_for(self, x: Tensor) -> Sequence[LayerProduct]:
        """Return how each tile multiplies its part of such inputs with its weights."""
        raise TypeError(f"{type(self).__name__} does not say how its tiles multiply {tuple(x.shape)}")

    # --- conversion ----------------------------------------------------------------------------------------

    @classmethod
    def from_digital(cls, digital: nn.Module, rpu_config: InferenceRPUConfig) -> Self:
        """Return an analog layer that takes over the parameters of a plain torch layer."""
        layer = cls.__new__(cls)
        layer._adopt(digital, rpu_config)  # noqa: SLF001 - the class builds itself in two ways
        return layer

    def _adopt(self, digital: nn.Module, rpu_config: InferenceRPUConfig) -> None:
        """Initialise the layer from a plain one; layers with options of their own extend it."""
        AnalogLayer.__init__(self, digital, rpu_config)

    def probe_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of small inputs, which the layer is compared with its digital form on."""
        raise TypeError(f"{type(self).__name__} has no digital form")

    def _digital_skeleton(self) -> nn.Module:
        """Return the plain torch layer, on the meta device."""
        raise TypeError(f"{type(self).__name__} has no digital form")

    def to_digital(self) -> nn.Module:
        """Return a plain torch layer with the effective logical weights."""
        digital = self._digital_skeleton()
        weight, bias = self.effective_weights()
        digital.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)
        if bias is not None and self.bias is not None:
            digital.bias = nn.Parameter(bias, requires_grad=self.bias.requires_grad)
        return digital.train(self.training)

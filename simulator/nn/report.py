"""What a converted model consists of: layers, tiles, devices, utilisation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from simulator.config.tiling import tile_cells
from simulator.nn.layer import AnalogLayer
from simulator.nn.model import analog_layers
from simulator.tile import Way

DIGITAL_REASONS = "_digital_reasons"  # name of the attribute that a conversion leaves on the model


@dataclass(frozen=True)
class TileReport:
    """One tile: its position in the layer's grid, its size, and how it computes.

    Attributes:
        row: of the tile in its layer's grid.
        column: of the tile in its layer's grid.
        out_features: its outputs.
        in_features: its inputs.
        path: how it computes its products, see `simulator.tile.path.Way`.
        slowed_by: what keeps it from the fastest path: stages of its forward pass by name, and other reasons.
    """

    row: int
    column: int
    out_features: int
    in_features: int
    path: Way
    slowed_by: tuple[str, ...]


@dataclass(frozen=True)
class LayerReport:
    """One analog layer.

    Attributes:
        name: in the model.
        kind: the layer's class.
        weight_shape: of the logical weight.
        tiles: the layer's grid.
        path: of its slowest tile.
        utilisation: share of the tiles' cells that hold weights; 1 where the size of a tile is not limited.
        devices: analog devices that hold the weights.
    """

    name: str
    kind: str
    weight_shape: tuple[int, ...]
    tiles: tuple[TileReport, ...]
    path: Way
    utilisation: float
    devices: int


@dataclass(frozen=True)
class ConversionReport:
    """All layers of a model.

    Attributes:
        layers: the analog ones.
        digital: name -> why a layer with weights stayed digital.
    """

    layers: tuple[LayerReport, ...]
    digital: dict[str, str]

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return sum(len(layer.tiles) for layer in self.layers)

    @property
    def devices(self) -> int:
        """Number of analog devices."""
        return sum(layer.devices for layer in self.layers)

    @property
    def utilisation(self) -> float:
        """Share of all tiles' cells that hold weights."""
        cells = sum(_cells(layer) / layer.utilisation for layer in self.layers)
        return sum(_cells(layer) for layer in self.layers) / cells if cells else 1.0


def conversion_report(model: nn.Module) -> ConversionReport:
    """Return what a model's layers became."""
    reasons: dict[str, str] = {}
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        for layer, reason in getattr(module, DIGITAL_REASONS, {}).items():
            reasons[prefix + layer] = reason
    layers = tuple(_layer_report(name, layer) for name, layer in analog_layers(model))
    return ConversionReport(layers, reasons)


def _layer_report(name: str, layer: AnalogLayer) -> LayerReport:
    weight = layer.weight.detach()
    products = layer.products_for(weight)
    tiles = tuple(
        TileReport(
            slot.row,
            slot.column,
            *slot.shape,
            tile.setup.way(product, weight),
            tile.setup.slowed_by(product, weight),
        )
        for (slot, tile), product in zip(layer.tile_slots(), products, strict=True)
    )
    used = sum(tile.out_features * tile.in_features for tile in tiles)
    return LayerReport(
        name=name,
        kind=type(layer).__name__,
        weight_shape=tuple(layer.weight.shape),
        tiles=tiles,
        path=max((tile.path for tile in tiles), key=list(Way).index),
        utilisation=used / sum(tile_cells(slot.shape, layer.rpu_config.mapping) for slot in layer.slots),
        devices=used * layer.rpu_config.noise_model.devices_per_weight,
    )


def _cells(layer: LayerReport) -> int:
    return sum(tile.out_features * tile.in_features for tile in layer.tiles)

"""Analog tiles: one matrix-vector product on a crossbar, and what training does to its weights."""

from simulator.tile import fused
from simulator.tile.forward import analog_product
from simulator.tile.input_range import (
    OutputClipping,
    RangeLearner,
    clip_to_range,
    converted_again,
    range_from_data,
)
from simulator.tile.instance import NO_SPREAD, InstanceParameters, draw_instance
from simulator.tile.meter import ClippingMeter
from simulator.tile.modifiers import modifies, modify_weights
from simulator.tile.plan import TilePlan, compile_plan
from simulator.tile.products import (
    DENSE,
    ChannelsLastProduct,
    ConvProduct,
    DenseProduct,
    LayerProduct,
    Product,
    UnitVectorProduct,
    in_rows,
    with_channels_first,
    with_channels_last,
)
from simulator.tile.static_pass import StaticPass
from simulator.tile.weight_update import clip_weights, remap_scales, update_in_place

__all__ = [
    "DENSE",
    "NO_SPREAD",
    "ChannelsLastProduct",
    "ClippingMeter",
    "ConvProduct",
    "DenseProduct",
    "InstanceParameters",
    "LayerProduct",
    "OutputClipping",
    "Product",
    "RangeLearner",
    "StaticPass",
    "TilePlan",
    "UnitVectorProduct",
    "analog_product",
    "clip_to_range",
    "clip_weights",
    "compile_plan",
    "converted_again",
    "draw_instance",
    "fused",
    "in_rows",
    "modifies",
    "modify_weights",
    "range_from_data",
    "remap_scales",
    "update_in_place",
    "with_channels_first",
    "with_channels_last",
]

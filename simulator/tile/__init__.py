"""Analog tiles: one matrix-vector product on a crossbar, and what training does to its weights.

A map of the room: `stages.py` has what can happen in a product, as values; `plan.py` makes a tile's stages
of its configuration; `forward.py` runs them (the reference, in torch); `path.py` chooses a faster way where
there is one, and `fast/` has those ways in compiled loops. `dac_adc.py`, `ir_drop.py`, `input_range.py`,
`noise.py` and `layout.py` are what the reference is made of; `mapping.py` has the scale of weights on a tile,
`weights.py` is training, `programming.py` the devices.
"""

from simulator.tile import fast, path
from simulator.tile.clipping import ClippingMeter
from simulator.tile.forward import analog_product
from simulator.tile.input_range import (
    OutputClipping,
    RangeLearner,
    clip_to_range,
    converted_again,
    range_from_data,
)
from simulator.tile.layout import (
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
from simulator.tile.mapping import clip_and_remap, mapping_scale, off_tile, onto_tile
from simulator.tile.noise import NO_SPREAD, InstanceParameters, draw_instance
from simulator.tile.path import Way
from simulator.tile.plan import ForwardPlan, compile_plan
from simulator.tile.programming import ProgrammedTile
from simulator.tile.weights import clip_weights, modifies, modify_weights, remap_scales

__all__ = [
    "DENSE",
    "NO_SPREAD",
    "ChannelsLastProduct",
    "ClippingMeter",
    "ConvProduct",
    "DenseProduct",
    "ForwardPlan",
    "InstanceParameters",
    "LayerProduct",
    "OutputClipping",
    "Product",
    "ProgrammedTile",
    "RangeLearner",
    "UnitVectorProduct",
    "Way",
    "analog_product",
    "clip_and_remap",
    "clip_to_range",
    "clip_weights",
    "compile_plan",
    "converted_again",
    "draw_instance",
    "fast",
    "in_rows",
    "mapping_scale",
    "modifies",
    "modify_weights",
    "off_tile",
    "onto_tile",
    "path",
    "range_from_data",
    "remap_scales",
    "with_channels_first",
    "with_channels_last",
]

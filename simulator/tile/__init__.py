"""Analog tiles: one matrix-vector product on a crossbar, and what training does to its weights."""

from simulator.tile.forward import analog_product
from simulator.tile.instance import NO_SPREAD, InstanceParameters, draw_instance
from simulator.tile.plan import TilePlan, compile_plan
from simulator.tile.products import DENSE, ConvProduct, DenseProduct, Product

__all__ = [
    "DENSE",
    "NO_SPREAD",
    "ConvProduct",
    "DenseProduct",
    "InstanceParameters",
    "Product",
    "TilePlan",
    "analog_product",
    "compile_plan",
    "draw_instance",
]

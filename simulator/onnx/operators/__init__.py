"""Run-time functions of ONNX operators on torch tensors, found by name and opset with `lookup`."""

from simulator.onnx.operators import (
    activations,
    arithmetic,
    attention,
    indexing,
    normalisation,
    products,
    reductions,
    resize,
    sequences,
    shapes,
    spatial,
)
from simulator.onnx.operators.registry import Operator, lookup, registered

__all__ = [
    "Operator",
    "activations",
    "arithmetic",
    "attention",
    "indexing",
    "lookup",
    "normalisation",
    "products",
    "reductions",
    "registered",
    "resize",
    "sequences",
    "shapes",
    "spatial",
]

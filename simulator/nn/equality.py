"""Whether a layer on perfect tiles is the digital layer: the check of every conversion."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from simulator.nn.composite import AnalogComposite
from simulator.nn.layer import AnalogLayer
from simulator.nn.model import analog_layers
from simulator.nn.tile import TileMode
from simulator.rng import Purpose, generator

LIMIT = 1e-6
_ROUNDING_LIMIT = 1e-4  # of sums over thousands of inputs in 32 bits, by operators of different design
_EXACT_WEIGHTS = 1 << 23  # with more, the copies in 64 bits would take too much memory


Convertible = AnalogLayer | AnalogComposite


@torch.no_grad()
def perfect_error(layer: Convertible, digital: nn.Module) -> float:
    """Return the largest difference between a layer with perfect products and its digital form.

    It is relative to the largest output. What is compared is mapping, tiling, padding and bias, for small
    random inputs, in 64 bits (32 for layers of more than 8 million weights). Input ranges are left out.
    """
    like = next(layer.parameters())
    dtype = torch.float64 if _is_small(digital) else like.dtype
    analog = _perfect_copy(layer).to(dtype).eval()
    plain = copy.deepcopy(digital).to(dtype).eval()
    stream = generator(0, Purpose.VERIFICATION, "perfect")
    inputs = [
        torch.rand(shape, generator=stream, dtype=dtype).to(like.device) * 2 - 1
        for shape in layer.probe_shapes()
    ]
    expected, found = _first(plain(*inputs)), _first(analog(*inputs))
    scale = expected.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return float((found - expected).abs().max() / scale)


def check_perfect(name: str, layer: Convertible, digital: nn.Module) -> None:
    """Make sure that perfect products give the digital layer's outputs to 1e-6.

    Raises:
        RuntimeError: they do not.
    """
    error = perfect_error(layer, digital)
    limit = LIMIT if _is_small(digital) else _ROUNDING_LIMIT
    if not error <= limit:
        raise RuntimeError(
            f"{name}: with perfect products, {type(layer).__name__} differs from the digital layer by "
            f"{error:.2g} of the largest output (limit {limit:g}): a defect of the conversion"
        )


def _is_small(digital: nn.Module) -> bool:
    return sum(parameter.numel() for parameter in digital.parameters()) <= _EXACT_WEIGHTS


def _first(result: Any) -> Tensor:
    tensor: Tensor = result[0] if isinstance(result, tuple) else result
    return tensor


def _perfect_copy(layer: Convertible) -> Convertible:
    result = copy.deepcopy(layer)
    for _, part in analog_layers(result):
        for _, tile in part.tile_slots():
            tile.disable_input_range()
            tile.set_mode(TileMode(perfect=True, unscaled=True, modifies_weights=False))
    return result

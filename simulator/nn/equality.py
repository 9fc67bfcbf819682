"""Whether a layer on perfect tiles is the digital layer: the check of every conversion."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from simulator.nn.layer import AnalogLayer
from simulator.rng import Purpose, generator

LIMIT = 1e-6
_ROUNDING_LIMIT = 1e-4  # of sums over thousands of inputs in 32 bits, by operators of different design
_EXACT_WEIGHTS = 1 << 23  # with more, the copies in 64 bits would take too much memory


@torch.no_grad()
def perfect_error(layer: AnalogLayer, digital: nn.Module) -> float:
    """Return the largest difference between a layer with perfect products and its digital form.

    It is relative to the largest output. What is compared is mapping, tiling, padding and bias, for a small
    random input, in 64 bits (32 for layers of more than 8 million weights). Input ranges are left out.
    """
    dtype = torch.float64 if layer.weight.numel() <= _EXACT_WEIGHTS else layer.weight.dtype
    analog = _perfect_copy(layer).to(dtype).eval()
    plain = copy.deepcopy(digital).to(dtype).eval()
    stream = generator(0, Purpose.VERIFICATION, "perfect")
    x = torch.rand(layer.probe_shape(), generator=stream, dtype=dtype).to(layer.weight.device) * 2 - 1
    expected = plain(x)
    scale = expected.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return float((analog(x) - expected).abs().max() / scale)


def check_perfect(name: str, layer: AnalogLayer, digital: nn.Module) -> None:
    """Make sure that perfect products give the digital layer's outputs to 1e-6.

    Raises:
        RuntimeError: they do not; weights that are not finite are left alone.
    """
    if not all(bool(parameter.isfinite().all()) for parameter in digital.parameters()):
        return
    error = perfect_error(layer, digital)
    limit = LIMIT if layer.weight.numel() <= _EXACT_WEIGHTS else _ROUNDING_LIMIT
    if not error <= limit:
        raise RuntimeError(
            f"{name}: with perfect products, {type(layer).__name__} differs from the digital layer by "
            f"{error:.2g} of the largest output (limit {limit:g}): a defect of the conversion, please report it"
        )


def _perfect_copy(layer: AnalogLayer) -> AnalogLayer:
    result = copy.deepcopy(layer)
    for _, tile in result.tile_slots():
        tile.use_plan(replace(tile.plan, is_perfect=True, out_scale=1.0))
        tile.without_training_parts()
    return result

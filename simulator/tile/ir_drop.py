"""IR drop: what the resistance of the wires takes from the currents of a crossbar.

A third-order approximation of the voltage drop along the input lines (Rasch et al., AICAS 2021; the inputs
count from the near end). It needs three products: the currents, the currents weighted by the position of
their input, and the load, which is the product of the magnitudes. All that have the same inputs run as one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.tile.fast import arrays
from simulator.tile.layout import Product
from simulator.tile.stages import (
    IrDrop,
)


def currents(x: Tensor, weights: Tensor, product: Product, drop: IrDrop) -> Tensor:
    """Return the product with IR drop, in memory of its own.

    The gradient is that of the product: the drop is a small perturbation and passes none.

    Args:
        x: converted inputs.
        weights: `[O, I]` or `[S, O, I]`.
        product: how they are multiplied.
        drop: the stage.
    """
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        result: Tensor = _Currents.apply(x, weights, product, drop)  # type: ignore[no-untyped-call]
        return result
    return _currents(x, weights, product, drop)


class _Currents(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, product: Product, drop: IrDrop) -> Tensor:
        ctx.save_for_backward(x, weights)
        ctx.product = product
        return _currents(x, weights, product, drop)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        wants_d_x, wants_d_weights = ctx.needs_input_grad[:2]
        d_x, d_weights = ctx.product.gradients(
            gradient, *ctx.saved_tensors, of_inputs=wants_d_x, of_weights=wants_d_weights
        )
        return d_x, d_weights, None, None


def _currents(x: Tensor, weights: Tensor, product: Product, stage: IrDrop) -> Tensor:
    magnitudes = weights.abs()
    lines = [weights, weights * _positions(weights.shape[-1], weights.dtype, weights.device)]
    load_ratio = weights.shape[-1] / stage.g_ratio
    if x.is_cpu and bool((x >= 0).all()):  # elsewhere the question would wait for the device
        together = product(x, torch.cat([*lines, magnitudes], dim=-2))
        y, drop, load = together.chunk(3, dim=product.vector_dim)
    else:
        y, drop = product(x, torch.cat(lines, dim=-2)).chunk(2, dim=product.vector_dim)
        load = product(x.abs(), magnitudes)
    dim = product.vector_dim
    if arrays.subtracts_drop(y, drop, load, vector_dim=dim):
        return arrays.subtract_drop(y, drop, load, dim, load_ratio=load_ratio, strength=stage.strength)
    load = load * load_ratio
    return y - drop * (load * (load * (0.05 * load - 0.2) + 0.5)) * stage.strength


@lru_cache(maxsize=64)
def _positions(in_features: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the weight of each input's position, `[I]`: 1 - (1 - position)^2."""
    with torch.inference_mode(mode=False):
        position = torch.arange(in_features, dtype=dtype, device=device) / in_features
        return 1 - (1 - position).square()

"""IR drop: what the resistance of the wires takes from the currents of a crossbar.

A third-order approximation of the voltage drop along the input lines (Rasch et al., AICAS 2021; the inputs
count from the near end). It needs three products: the currents, the currents weighted by the place of their
input, and the load, which is the product of the magnitudes. All that have the same inputs run as one product.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simulator.tile import fused
from simulator.tile.plan import TilePlan
from simulator.tile.products import Product


def currents(x: Tensor, weights: Tensor, product: Product, plan: TilePlan) -> Tensor:
    """Return the product with IR drop, in memory of its own.

    The gradient is that of the product: the drop is a small perturbation and passes none.

    Args:
        x: converted inputs.
        weights: `[O, I]` or `[S, O, I]`.
        product: how they are multiplied.
        plan: gives the strength of the drop, which is positive, and the ratio of conductances.
    """
    if torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad):
        result: Tensor = _Currents.apply(x, weights, product, plan)  # type: ignore[no-untyped-call]
        return result
    return _currents(x, weights, product, plan)


class _Currents(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, product: Product, plan: TilePlan) -> Tensor:
        ctx.save_for_backward(x, weights)
        ctx.product = product
        return _currents(x, weights, product, plan)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        wants_d_x, wants_d_weights = ctx.needs_input_grad[:2]
        d_x, d_weights = ctx.product.gradients(
            gradient, *ctx.saved_tensors, of_inputs=wants_d_x, of_weights=wants_d_weights
        )
        return d_x, d_weights, None, None


def _currents(x: Tensor, weights: Tensor, product: Product, plan: TilePlan) -> Tensor:
    magnitudes = weights.abs()
    lines = [weights, weights * _places(weights.shape[-1], weights.dtype, weights.device)]
    load_ratio = weights.shape[-1] / plan.ir_drop_g_ratio
    if bool((x >= 0).all()):
        together = product(x, torch.cat([*lines, magnitudes], dim=-2))
        y, drop, load = together.chunk(3, dim=product.vector_dim)
    else:
        y, drop = product(x, torch.cat(lines, dim=-2)).chunk(2, dim=product.vector_dim)
        load = product(x.abs(), magnitudes)
    if fused.subtracts_drop(y, drop, load, product.vector_dim):
        return fused.subtract_drop(
            y, drop, load, product.vector_dim, load_ratio=load_ratio, strength=plan.ir_drop
        )
    load = load * load_ratio
    return y - drop * (load * (load * (0.05 * load - 0.2) + 0.5)) * plan.ir_drop


@lru_cache(maxsize=64)
def _places(in_features: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the weight of each input's place, `[I]`: 1 - (1 - place)^2."""
    with torch.inference_mode(mode=False):
        position = torch.arange(in_features, dtype=dtype, device=device) / in_features
        return 1 - (1 - position).square()

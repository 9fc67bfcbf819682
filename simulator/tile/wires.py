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
    if x.is_cpu and bool((x >= 0).all()):  # elsewhere the question would wait for the device
        together = product(x, torch.cat([*lines, magnitudes], dim=-2))
        y, drop, load = together.chunk(3, dim=product.vector_dim)
    else:
        y, drop = product(x, torch.cat(lines, dim=-2)).chunk(2, dim=product.vector_dim)
        load = product(x.abs(), magnitudes)
    if _subtracts_compiled(y, drop, load, product.vector_dim):
        return _subtract_compiled(
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


def _subtracts_compiled(y: Tensor, drop: Tensor, load: Tensor, vector_dim: int) -> bool:
    """Whether a kernel subtracts the drop of such outputs, which may be parts of larger ones."""
    return (
        y.numel() > 0 and fused.at_hand(y) and all(_is_in_runs(part, vector_dim) for part in (y, drop, load))
    )


def _subtract_compiled(
    y: Tensor, drop: Tensor, load: Tensor, vector_dim: int, *, load_ratio: float, strength: float
) -> Tensor:
    """Return `y - strength * drop * p(load_ratio * load)` in contiguous memory; p is of third order."""
    result = y.new_empty(y.shape)
    size = y.shape[-1] if vector_dim == -1 else y[0].numel()
    runs = y.numel() // size
    block = max(1, fused.TASK // size)
    fused.kernels().subtract_drop(
        -(-runs // block),
        *(place for part in (y, drop, load) for place in (part.data_ptr(), _run_stride(part, vector_dim))),
        result.data_ptr(),
        runs,
        size,
        block,
        load_ratio,
        strength,
    )
    return result


def _run_stride(part: Tensor, vector_dim: int) -> int:
    """How far the runs of values that belong to one vector, or one sample of maps, are apart."""
    return part.stride(0 if vector_dim == 1 else -2) if part.dim() > 1 else 0


def _is_in_runs(part: Tensor, vector_dim: int) -> bool:
    if vector_dim == 1 or part.dim() == 1:
        return part.is_contiguous() or (part.dim() > 1 and part.shape[0] > 0 and part[0].is_contiguous())
    sizes, strides = part.shape, part.stride()
    evenly = all(strides[i] == strides[i + 1] * sizes[i + 1] for i in range(part.dim() - 2))
    return strides[-1] == 1 and evenly

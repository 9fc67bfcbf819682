"""Products of tensors that are both computed, and quantised numbers."""

from __future__ import annotations

import torch
from onnx import TensorProto
from torch import Tensor

from simulator.onnx.operators.registry import operator
from simulator.onnx.operators.shapes import TORCH_TYPES

_QUANTISED = {**TORCH_TYPES, TensorProto.UINT16: torch.uint16}

operator("MatMul")(torch.matmul)


@operator("Gemm")
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """Return alpha A B + beta C, either matrix transposed if asked for."""
    product = alpha * torch.matmul(a.T if transA else a, b.T if transB else b)
    return product if c is None else product + beta * c


@operator("Einsum")
def einsum(*tensors: Tensor, equation: str) -> Tensor:
    """Return a sum of products in Einstein's notation."""
    return torch.einsum(equation, *tensors)


def _along(parameter: Tensor, rank: int, axis: int) -> Tensor:
    if parameter.numel() == 1:
        return parameter.reshape(())
    sizes = [1] * rank
    sizes[axis] = -1
    return parameter.reshape(sizes)


@operator("DequantizeLinear", ignored=("output_dtype",))
def dequantize(
    x: Tensor, scale: Tensor, zero_point: Tensor | None = None, *, axis: int = 1, block_size: int = 0
) -> Tensor:
    """Return (x - zero point) times the scale, per tensor, per axis or per block."""
    rank = x.dim()
    if block_size:
        scale = scale.repeat_interleave(block_size, axis)
        zero_point = None if zero_point is None else zero_point.repeat_interleave(block_size, axis)
    else:
        scale = _along(scale, rank, axis)
        zero_point = None if zero_point is None else _along(zero_point, rank, axis)
    numbers = x.to(scale.dtype)
    return (numbers if zero_point is None else numbers - zero_point.to(scale.dtype)) * scale


@operator("QuantizeLinear", ignored=("saturate", "precision"))
def quantize(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Tensor:
    """Return x / scale rounded to an integer, plus the zero point, within the range of the type.

    Where a gradient is wanted the integers stay floats, and the gradient passes straight through the rounding
    where the range of the type does not clip (Bengio et al., arXiv:1308.3432).
    """
    dtype = zero_point.dtype if zero_point is not None else _QUANTISED.get(output_dtype, torch.uint8)
    rank = x.dim()
    if block_size:
        scale = scale.repeat_interleave(block_size, axis)
        zero_point = None if zero_point is None else zero_point.repeat_interleave(block_size, axis)
    else:
        scale = _along(scale, rank, axis)
        zero_point = None if zero_point is None else _along(zero_point, rank, axis)
    exact = x / scale
    is_trained = torch.is_grad_enabled() and exact.requires_grad
    rounded = exact + (torch.round(exact) - exact).detach() if is_trained else torch.round(exact)
    shifted = rounded if zero_point is None else rounded + zero_point.to(rounded.dtype)
    limits = torch.iinfo(dtype)
    clipped = shifted.clamp(limits.min, limits.max)
    return clipped if is_trained else clipped.to(dtype)

"""Arithmetic and logic, element by element, with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from simulator.onnx.operators.registry import operator

_PLAIN: dict[str, Callable[..., Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Add": torch.add,
    "And": torch.logical_and,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseNot": torch.bitwise_not,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "IsNaN": torch.isnan,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,  # halves to even, as ONNX asks
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Tan": torch.tan,
    "Where": torch.where,
    "Xor": torch.logical_xor,
}
for _name, _function in _PLAIN.items():
    operator(_name)(_function)


@operator("Div")
def divide(a: Tensor, b: Tensor) -> Tensor:
    """Divide; integers are truncated towards zero."""
    if a.is_floating_point():
        return torch.div(a, b)
    return torch.div(a, b, rounding_mode="trunc")


@operator("Pow")
def power(base: Tensor, exponent: Tensor) -> Tensor:
    """Raise to a power; the result has the type of the base."""
    return torch.pow(base, exponent).to(base.dtype)


@operator("Mod")
def modulo(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """Return the remainder, with the sign of the dividend if `fmod`, of the divisor if not."""
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@operator("IsInf")
def is_infinite(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Tell where a value is infinite, of the signs asked for."""
    result = torch.isinf(x)
    if not detect_negative:
        result = result & (x > 0)
    if not detect_positive:
        result = result & (x < 0)
    return result


@operator("Max")
def maximum(*tensors: Tensor) -> Tensor:
    """Return the largest of several tensors, element by element."""
    return reduce(torch.maximum, tensors)


@operator("Min")
def minimum(*tensors: Tensor) -> Tensor:
    """Return the smallest of several tensors, element by element."""
    return reduce(torch.minimum, tensors)


@operator("Sum")
def total(*tensors: Tensor) -> Tensor:
    """Return the sum of several tensors, element by element."""
    return reduce(torch.add, tensors)


@operator("Mean")
def mean(*tensors: Tensor) -> Tensor:
    """Return the mean of several tensors, element by element."""
    return reduce(torch.add, tensors) / len(tensors)


@operator("Clip", until=10)
def clip_to_attributes(x: Tensor, *, min: float | None = None, max: float | None = None) -> Tensor:  # noqa: A002 - ONNX's names
    """Clip to the range given by the attributes."""
    return x if min is None and max is None else torch.clamp(x, min, max)


@operator("Clip", since=11)
def clip(x: Tensor, lowest: Tensor | None = None, highest: Tensor | None = None) -> Tensor:
    """Clip to the range given by the inputs; the upper end wins if they are crossed."""
    if lowest is not None:
        x = torch.maximum(x, lowest)
    return x if highest is None else torch.minimum(x, highest)

"""Activation functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from simulator.onnx.operators.registry import operator

_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875

operator("Relu", ignored=("consumed_inputs",))(torch.relu)
operator("Sigmoid")(torch.sigmoid)
operator("Tanh")(torch.tanh)


@operator("Softplus")
def softplus(x: Tensor) -> Tensor:
    """Return ln(1 + exp(x)) at every size of x."""
    return torch.logaddexp(x, torch.zeros_like(x))


@operator("Softsign")
def softsign(x: Tensor) -> Tensor:
    """Return x / (1 + |x|)."""
    return F.softsign(x)


@operator("Mish")
def mish(x: Tensor) -> Tensor:
    """Return x tanh(ln(1 + exp(x)))."""
    return F.mish(x)


@operator("HardSwish")
def hard_swish(x: Tensor) -> Tensor:
    """Return x clip(x / 6 + 0.5, 0, 1)."""
    return F.hardswish(x)


@operator("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return x sigmoid(alpha x)."""
    return x * torch.sigmoid(alpha * x)


@operator("Gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """Return x times the normal distribution function of x, exactly or by tanh."""
    return F.gelu(x, approximate=approximate)


@operator("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """Return x, times alpha where it is negative."""
    return F.leaky_relu(x, alpha)


@operator("PRelu")
def parametric_relu(x: Tensor, slope: Tensor) -> Tensor:
    """Return x, times a learned slope where it is negative."""
    return torch.where(x < 0, x * slope, x)


@operator("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return x, or alpha (exp(x) - 1) where it is negative."""
    return F.elu(x, alpha)


@operator("Celu")
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return x, or alpha (exp(x / alpha) - 1) where it is negative."""
    return F.celu(x, alpha)


@operator("Selu")
def selu(x: Tensor, *, alpha: float = _SELU_ALPHA, gamma: float = _SELU_GAMMA) -> Tensor:
    """Return gamma times x, or times alpha (exp(x) - 1) where it is negative."""
    return gamma * F.elu(x, alpha)


@operator("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Return x where it is over alpha, else 0."""
    return torch.where(x > alpha, x, torch.zeros_like(x))


@operator("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """Return alpha x + beta, clipped to [0, 1]."""
    return torch.clamp(alpha * x + beta, 0, 1)


@operator("Shrink")
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """Return x moved towards zero by the bias where |x| is over lambd, else 0."""
    zero = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero))


@operator("Softmax", since=13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return the softmax over one axis."""
    return torch.softmax(x, axis)


@operator("LogSoftmax", since=13)
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return the logarithm of the softmax over one axis."""
    return torch.log_softmax(x, axis)


@operator("Hardmax", since=13)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Return 1 at the first largest number along the axis, else 0."""
    first = torch.argmax(x, axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, first, 1.0)


@operator("Softmax", until=12)
def flat_softmax(x: Tensor, *, axis: int = 1) -> Tensor:
    """Return the softmax over all axes from one on, as it was before opset 13."""
    return torch.softmax(_two_axes(x, axis), -1).reshape(x.shape)


@operator("LogSoftmax", until=12)
def flat_log_softmax(x: Tensor, *, axis: int = 1) -> Tensor:
    """Return the logarithm of the softmax over all axes from one on, as it was before opset 13."""
    return torch.log_softmax(_two_axes(x, axis), -1).reshape(x.shape)


@operator("Hardmax", until=12)
def flat_hardmax(x: Tensor, *, axis: int = 1) -> Tensor:
    """Return 1 at the first largest number over all axes from one on, as it was before opset 13."""
    return hardmax(_two_axes(x, axis)).reshape(x.shape)


def _two_axes(x: Tensor, axis: int) -> Tensor:
    axis %= x.dim()
    return x.flatten(axis) if axis == 0 else x.flatten(axis).flatten(0, axis - 1)

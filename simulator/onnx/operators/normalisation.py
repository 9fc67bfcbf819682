"""Normalisations whose scales are computed, or that torch has no module for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from simulator.onnx.operators.registry import operator


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.dim() - 2))


@operator("BatchNormalization", ignored=("momentum", "training_mode", "spatial"))
def batch_normalisation(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each channel with the statistics given."""
    deviation = torch.sqrt(_per_channel(variance, x) + epsilon)
    return (x - _per_channel(mean, x)) / deviation * _per_channel(scale, x) + _per_channel(bias, x)


@operator("InstanceNormalization")
def instance_normalisation(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Normalise each channel of each sample over space."""
    axes = list(range(2, x.dim()))
    centred = x - x.mean(axes, keepdim=True)
    deviation = torch.sqrt(centred.square().mean(axes, keepdim=True) + epsilon)
    return centred / deviation * _per_channel(scale, x) + _per_channel(bias, x)


@operator("GroupNormalization", since=21, ignored=("stash_type",))
def group_normalisation(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5
) -> Tensor:
    """Normalise groups of channels; scale and bias are per channel."""
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@operator("GroupNormalization", until=20)
def group_normalisation_scaled_by_group(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5
) -> Tensor:
    """Normalise groups of channels; scale and bias are per group, as before opset 21."""
    repeats = x.shape[1] // num_groups
    return F.group_norm(
        x, num_groups, scale.repeat_interleave(repeats), bias.repeat_interleave(repeats), epsilon
    )


@operator("LayerNormalization", ignored=("stash_type",))
def layer_normalisation(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    outputs: int,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> Tensor | tuple[Tensor, ...]:
    """Normalise over all axes from one on; the mean and the inverse deviation are further outputs."""
    axes = list(range(axis % x.dim(), x.dim()))
    mean = x.mean(axes, keepdim=True)
    inverse = torch.rsqrt((x - mean).square().mean(axes, keepdim=True) + epsilon)
    y = (x - mean) * inverse * scale
    y = y if bias is None else y + bias
    return (y, mean, inverse)[:outputs] if outputs > 1 else y


@operator("RMSNormalization", ignored=("stash_type",))
def rms_normalisation(x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5) -> Tensor:
    """Divide by the root mean square over all axes from one on."""
    axes = list(range(axis % x.dim(), x.dim()))
    return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon) * scale


@operator("LpNormalization")
def lp_normalisation(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """Divide by the norm along an axis; where it is zero the result is zero."""
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


@operator("MeanVarianceNormalization")
def mean_variance_normalisation(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    """Bring to mean 0 and variance 1 over the axes, those of batch and space without `axes`."""
    chosen = axes or [0, 2, 3]
    centred = x - x.mean(chosen, keepdim=True)
    return centred / (centred.square().mean(chosen, keepdim=True).sqrt() + 1e-9)


@operator("LRN")
def local_response_normalisation(
    x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """Divide by a power of the sum of squares over neighbouring channels."""
    before, after = (size - 1) // 2, size // 2
    squares = F.pad(x.square(), [0, 0] * (x.dim() - 2) + [before, after])
    sums = squares.unfold(1, size, 1).sum(-1)
    return x / (bias + alpha / size * sums) ** beta

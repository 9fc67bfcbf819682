"""Resize by interpolation, one axis after the other, in all of ONNX's coordinate conventions but cropping."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from simulator.onnx.operators.registry import Number, operator

# Position in the input of output position i; s is the scale, n and m are the input's and output's sizes.
_COORDINATES: dict[str, Callable[[Tensor, float, int, int], Tensor]] = {
    "half_pixel": lambda i, s, n, m: (i + 0.5) / s - 0.5,  # noqa: ARG005 - all take the same
    "half_pixel_symmetric": lambda i, s, n, m: n / 2 * (1 - m / (n * s)) + (i + 0.5) / s - 0.5,
    "pytorch_half_pixel": lambda i, s, n, m: (i + 0.5) / s - 0.5 if m > 1 else torch.zeros_like(i),  # noqa: ARG005
    "align_corners": lambda i, s, n, m: i * (n - 1) / (n * s - 1) if n * s > 1 else torch.zeros_like(i),  # noqa: ARG005
    "asymmetric": lambda i, s, n, m: i / s,  # noqa: ARG005
}
_ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "round_prefer_floor": lambda position: torch.ceil(position - 0.5),
    "round_prefer_ceil": lambda position: torch.floor(position + 0.5),
    "floor": torch.floor,
    "ceil": torch.ceil,
}


@operator("Upsample", since=9, until=9, numbers=(1,))
def upsample(x: Tensor, scales: list[Number], *, mode: str = "nearest") -> Tensor:
    """Enlarge as opset 9 did: from the corner, the nearest below."""
    return resize(
        x,
        None,
        scales,
        mode=mode,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


@operator("Upsample", until=8)
def upsample_attribute(x: Tensor, *, scales: list[float], mode: str = "nearest") -> Tensor:
    """Enlarge as opset 7 did, with the scales in an attribute."""
    return upsample(x, list(scales), mode=mode)


@operator("Resize", until=10, numbers=(1,))
def resize_opset_10(x: Tensor, scales: list[Number], *, mode: str = "nearest") -> Tensor:
    """Change the size as opset 10 did: from the corner."""
    return upsample(x, scales, mode=mode)


@operator(
    "Resize",
    since=11,
    numbers=(1, 2, 3),
    ignored=("extrapolation_value", "antialias", "keep_aspect_ratio_policy"),
)
def resize(
    x: Tensor,
    region: list[Number] | None = None,
    scales: list[Number] | None = None,
    sizes: list[int] | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    axes: list[int] | None = None,
) -> Tensor:
    """Change the sizes of axes by scales or to sizes, by the nearest, linear or cubic interpolation."""
    del region  # only cropping, which the plan refuses, reads it
    chosen = list(range(x.dim())) if axes is None else axes
    for position, axis in enumerate(chosen):
        length = x.shape[axis]
        if sizes:
            target, scale = sizes[position], sizes[position] / length
        elif scales:
            target, scale = math.floor(length * scales[position]), float(scales[position])
        else:
            continue
        if target == length and scale == 1.0:
            continue
        steps = torch.arange(target, dtype=torch.float32)
        at = _COORDINATES[coordinate_transformation_mode](steps, scale, length, target)
        taps, weights = _taps(at, mode, nearest_mode, cubic_coeff_a)
        if exclude_outside:
            weights = weights * ((taps >= 0) & (taps < length))
            weights = weights / weights.sum(0)
        x = _weighted(x, axis, taps.clamp(0, length - 1), weights)
    return x


def _taps(at: Tensor, mode: str, nearest_mode: str, a: float) -> tuple[Tensor, Tensor]:
    """Return which input positions count for each output position, and how much, each `[taps, outputs]`."""
    if mode == "nearest":
        # Positions are rounded a little first: a half that arithmetic missed by an ulp is still a half.
        exact = torch.round(at * 1e5) / 1e5
        return _ROUNDINGS[nearest_mode](exact).long()[None], torch.ones(1, len(at))
    below = torch.floor(at)
    t = at - below
    if mode == "linear":
        offsets, weights = [0, 1], [1 - t, t]
    else:  # Keys' cubic convolution
        offsets = [-1, 0, 1, 2]
        outer = [((a * s - 5 * a) * s + 8 * a) * s - 4 * a for s in (t + 1, 2 - t)]
        inner = [((a + 2) * s - (a + 3)) * s * s + 1 for s in (t, 1 - t)]
        weights = [outer[0], inner[0], inner[1], outer[1]]
    return torch.stack([below.long() + offset for offset in offsets]), torch.stack(weights)


def _weighted(x: Tensor, axis: int, taps: Tensor, weights: Tensor) -> Tensor:
    if len(taps) == 1:
        return x.index_select(axis, taps[0].to(x.device))
    sizes = [1] * x.dim()
    sizes[axis] = -1
    parts = [
        x.index_select(axis, tap.to(x.device)) * weight.to(x.device, x.dtype).reshape(sizes)
        for tap, weight in zip(taps, weights, strict=True)
    ]
    return torch.stack(parts).sum(0)

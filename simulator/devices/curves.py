"""Curves of a quantity over the conductance: tables and polynomials, also over time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch import Tensor

from simulator.config.measured import (
    ConductanceUnit,
    CurveConfig,
    Interpolation,
    PolynomialCurve,
    PolynomialVariable,
    TableCurve,
    TimedCurve,
)

# Relative conductances are floored at this in logarithms.
SMALLEST_G_RELATIVE = 1e-7


def interpolate(x: Tensor, nodes: Sequence[float], values: Sequence[float]) -> Tensor:
    """Return the piecewise linear function through (nodes, values) at x, held constant outside.

    Args:
        x: any shape.
        nodes: rising, at least one.
        values: one per node.
    """
    if len(nodes) == 1:
        return torch.full_like(x, values[0])
    node = torch.tensor(nodes, dtype=x.dtype, device=x.device)
    value = torch.tensor(values, dtype=x.dtype, device=x.device)
    right = torch.bucketize(x.contiguous(), node[1:-1], right=True).add_(1)
    left = right - 1
    share = ((x - node[left]) / (node[right] - node[left])).clamp_(0.0, 1.0)
    return torch.lerp(value[left], value[right], share)


def polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Return sum_i c_i x^i, lowest order first."""
    result = torch.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result.mul_(x).add_(coefficient)
    return result


def between_times(t_s: float, times_s: Sequence[float]) -> tuple[int, int, float]:
    """Return the two neighbours of a time in a rising table and the share of the second, linear in ln t.

    Before the first and after the last time both neighbours are that one.
    """
    if t_s <= times_s[0]:
        return 0, 0, 0.0
    if t_s >= times_s[-1]:
        return len(times_s) - 1, len(times_s) - 1, 0.0
    left = bisect_right(times_s, t_s) - 1
    share = math.log(t_s / times_s[left]) / math.log(times_s[left + 1] / times_s[left])
    return left, left + 1, share


class Curve:
    """A quantity over the conductance, at all times the same."""

    def __init__(self, config: CurveConfig, g_max_us: float) -> None:
        if not isinstance(config, TableCurve | PolynomialCurve):
            raise TypeError(f"a curve is a table or a polynomial, not {type(config).__name__}")
        self._config = config
        self._g_max_us = g_max_us
        self._g_unit_us = g_max_us if config.g_unit is ConductanceUnit.RELATIVE else 1.0

    def __call__(self, g_us: Tensor) -> Tensor:
        """Return the curve at conductances in uS, in the unit of its values."""
        if isinstance(self._config, PolynomialCurve):
            return self._polynomial(g_us, self._config)
        return self._table(g_us, self._config)

    def in_us(self, g_us: Tensor) -> Tensor:
        """Return a curve of conductances in uS."""
        relative = self._config.value_unit is ConductanceUnit.RELATIVE
        return self(g_us) * self._g_max_us if relative else self(g_us)

    def _ln_g(self, g_us: Tensor) -> Tensor:
        return (g_us.clamp(min=SMALLEST_G_RELATIVE * self._g_max_us) / self._g_unit_us).log_()

    def _polynomial(self, g_us: Tensor, config: PolynomialCurve) -> Tensor:
        of_log = config.variable is PolynomialVariable.LN_G
        result = polynomial(self._ln_g(g_us) if of_log else g_us / self._g_unit_us, config.coefficients)
        if config.minimum is None and config.maximum is None:
            return result
        return result.clamp_(min=config.minimum, max=config.maximum)

    def _table(self, g_us: Tensor, config: TableCurve) -> Tensor:
        if config.interpolation is Interpolation.LINEAR:
            return interpolate(g_us / self._g_unit_us, config.g, config.value)
        nodes = [math.log(g) for g in config.g]
        if config.interpolation is Interpolation.LOG_G:
            return interpolate(self._ln_g(g_us), nodes, config.value)
        return interpolate(self._ln_g(g_us), nodes, [math.log(v) for v in config.value]).exp_()


class CurveAtTime:
    """A quantity over the conductance, given once or at several times."""

    def __init__(self, config: CurveConfig | tuple[TimedCurve, ...], g_max_us: float) -> None:
        timed = config if isinstance(config, tuple) else ()
        self._times_s = [entry.t for entry in timed] or [1.0]
        single = [config] if isinstance(config, CurveConfig) else []
        self._curves = [Curve(curve, g_max_us) for curve in single or [entry.curve for entry in timed]]

    def __call__(self, g_us: Tensor, t_inference_s: float) -> Tensor:
        """Return the curve at conductances in uS and a time in s, between times linear in ln t."""
        left, right, share = between_times(t_inference_s, self._times_s)
        value = self._curves[left](g_us)
        return value if share == 0 else torch.lerp(value, self._curves[right](g_us), share)

"""Conductance converters. The scale depends on the tile's largest weight, in one on that of each output."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from simulator import config as described
from simulator.devices.base import (
    SMALLEST_WEIGHT,
    BaseConductanceConverter,
    LinearForm,
    Params,
    register_converter,
)
from simulator.devices.curves import interpolate

_SMALLEST_OF_OUTPUT = 1e-10  # that of the reference


def _largest(weights_OI: Tensor) -> Tensor:
    return weights_OI.abs().amax().clamp(min=SMALLEST_WEIGHT)


def _pairs(
    conductances_us: list[Tensor], factors: tuple[float, ...]
) -> Iterator[tuple[float, Tensor, Tensor]]:
    if len(conductances_us) != 2 * len(factors):
        raise ValueError(
            f"expected {2 * len(factors)} conductances (g+ and g- of {len(factors)} pairs), "
            f"not {len(conductances_us)}"
        )
    return zip(factors, conductances_us[::2], conductances_us[1::2], strict=True)


def _sum_of_pairs(conductances_us: list[Tensor], params: Params) -> Tensor:
    first, *rest = _pairs(conductances_us, params["f_lst"])
    factor, plus, minus = first
    total = (plus - minus).mul_(factor)
    for factor, plus, minus in rest:
        total.add_((plus - minus).mul_(factor))
    return total.div_(params["scale_ratio"])


class _PairConverter(BaseConductanceConverter):
    """Weights are differences of pairs, each with its significance."""

    def convert_back_to_weights(self, conductances_us: list[Tensor], params: Params) -> Tensor:
        """See the base class."""
        return _sum_of_pairs(conductances_us, params)

    def linear_form(self, params: Params) -> LinearForm:
        """See the base class."""
        factors = tuple(sign * factor for factor in params["f_lst"] for sign in (1.0, -1.0))
        return LinearForm(factors, float(params["scale_ratio"]))


@register_converter(described.SinglePairConductanceConverter)
class SinglePairConverter(_PairConverter):
    """Positive weights on g+, negative ones on g-, the other device at g_min (Nandakumar et al., 2019)."""

    def _scale(self, weights_OI: Tensor) -> Tensor:
        return (self.g_max - self.g_min) / _largest(weights_OI)

    def scale_of_lone_devices(self, weights_OI: Tensor) -> Tensor | None:
        """See the base class."""
        return self._scale(weights_OI) if self.g_min == 0 else None

    def convert_to_conductances(self, weights_OI: Tensor) -> tuple[list[Tensor], Params]:
        """See the base class."""
        scale = self._scale(weights_OI)
        scaled = weights_OI * scale
        plus = scaled.clamp(min=0.0, max=self.g_max).add_(self.g_min)
        minus = scaled.neg_().clamp_(min=0.0, max=self.g_max).add_(self.g_min)
        return [plus, minus], {"scale_ratio": scale, "f_lst": (1.0,)}


@register_converter(described.DualPairConductanceConverter)
@register_converter(described.NPairConductanceConverter)
class NPairConverter(_PairConverter):
    """Pairs of significance f: each takes what the ranges of the pairs before it leave."""

    def __init__(
        self, config: described.NPairConductanceConverter | described.DualPairConductanceConverter
    ) -> None:
        super().__init__(config)
        self.factors = tuple(config.f_lst)

    def convert_to_conductances(self, weights_OI: Tensor) -> tuple[list[Tensor], Params]:
        """See the base class."""
        span = self.g_max - self.g_min
        scale = span * sum(self.factors) / _largest(weights_OI)
        scaled = weights_OI * scale
        conductances: list[Tensor] = []
        taken = 0.0
        for factor in self.factors:
            conductances.extend(
                ((signed - taken) / factor).clamp_(min=0.0, max=span).add_(self.g_min)
                for signed in (scaled, -scaled)
            )
            taken += factor * span
        return conductances, {"scale_ratio": scale, "f_lst": self.factors}


@register_converter(described.CustomPairConductanceConverter)
class CustomPairConverter(_PairConverter):
    """Tables of g+ and g- at evenly spaced weights between the tile's negative and positive maximum."""

    def __init__(self, config: described.CustomPairConductanceConverter) -> None:
        super().__init__(config)
        self.factors = tuple(config.f_lst)
        self.tables = tuple(tuple(table) for table in config.g_lst)
        pairs = list(zip(self.factors, self.tables[::2], self.tables[1::2], strict=True))
        sums = [sum(f * (plus[i] - minus[i]) for f, plus, minus in pairs) for i in range(len(self.tables[0]))]
        self.largest_sum_us = max(abs(value) for value in sums)

    def convert_to_conductances(self, weights_OI: Tensor) -> tuple[list[Tensor], Params]:
        """See the base class."""
        scale = self.largest_sum_us / _largest(weights_OI)
        steps = len(self.tables[0]) - 1
        nodes = [self.largest_sum_us * (2 * i / steps - 1) for i in range(steps + 1)]
        scaled = weights_OI * scale
        conductances = [interpolate(scaled, nodes, table) for table in self.tables]
        return conductances, {"scale_ratio": scale, "f_lst": self.factors}


@register_converter(described.SingleDeviceConductanceConverter)
class SingleDeviceConverter(BaseConductanceConverter):
    """One device: the tile's smallest and largest weight are mapped to g_min and g_max.

    Weights that are all equal (within 1e-7) are mapped to the middle of the range, as if the range were that
    of [0, 2 w].
    """

    def convert_to_conductances(self, weights_OI: Tensor) -> tuple[list[Tensor], Params]:
        """See the base class."""
        smallest, largest = weights_OI.aminmax()
        half_width = torch.maximum(smallest.abs(), largest.abs()).clamp(min=SMALLEST_WEIGHT)
        constant = largest - smallest < SMALLEST_WEIGHT
        lowest = torch.where(constant, smallest - half_width, smallest)
        width = torch.where(constant, 2 * half_width, largest - smallest)
        scale = (self.g_max - self.g_min) / width
        conductance = (weights_OI - lowest).mul_(scale).add_(self.g_min)
        return [conductance], {"scale_ratio": scale, "min": lowest}

    def convert_back_to_weights(self, conductances_us: list[Tensor], params: Params) -> Tensor:
        """See the base class."""
        if len(conductances_us) != 1:
            raise ValueError(f"expected the conductances of 1 device per cell, not of {len(conductances_us)}")
        return (conductances_us[0] - self.g_min).div_(params["scale_ratio"]).add_(params["min"])

    def linear_form(self, params: Params) -> LinearForm:
        """See the base class."""
        scale = float(params["scale_ratio"])
        return LinearForm((1.0,), scale, self.g_min - scale * float(params["min"]))


@register_converter(described.FusionConductanceConverter)
class FusionConverter(BaseConductanceConverter):
    """One device for |w|, the largest weight of each output at g_max; signs are kept in digital.

    Weights come back as signed conductances times the slope of the least-squares line, with an intercept that
    is not used, from these to the output's weights (the behaviour of aihwkit 1.1). What all devices of an
    output have in common, as the mean drift, is so taken out. Where an output's signed conductances are all
    equal there is no line, and the slope is that of the conversion; the reference gives 0 there.
    """

    def convert_to_conductances(self, weights_OI: Tensor) -> tuple[list[Tensor], Params]:
        """See the base class."""
        slopes_O1 = weights_OI.abs().amax(dim=1, keepdim=True).clamp(min=_SMALLEST_OF_OUTPUT) / self.g_max
        conductance = (weights_OI / slopes_O1).abs_().clamp_(max=self.g_max)
        return [conductance], {"weights": weights_OI, "slopes": slopes_O1}

    def convert_back_to_weights(self, conductances_us: list[Tensor], params: Params) -> Tensor:
        """See the base class."""
        if len(conductances_us) != 1:
            raise ValueError(f"expected the conductances of 1 device per cell, not of {len(conductances_us)}")
        weights_OI: Tensor = params["weights"]
        signed_OI = conductances_us[0] * weights_OI.sign()
        from_mean = signed_OI.double() - signed_OI.double().mean(dim=1, keepdim=True)
        spread = from_mean.square().sum(dim=1, keepdim=True)
        slopes = (from_mean * weights_OI.double()).sum(dim=1, keepdim=True) / spread
        slopes = torch.where(spread > 0, slopes, params["slopes"].double())
        return signed_OI * slopes.to(signed_OI.dtype)

"""Conductance converters: how a normalised weight becomes the conductances of its devices, in uS."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulator.config.base import NonNegative, Positive, Switch, TypedConfig, custom_error

__all__ = [
    "ConverterConfig",
    "CustomPairConductanceConverter",
    "DualPairConductanceConverter",
    "FusionConductanceConverter",
    "NPairConductanceConverter",
    "SingleDeviceConductanceConverter",
    "SinglePairConductanceConverter",
]

SignificanceFactors = Annotated[
    tuple[Positive, ...],
    Field(min_length=1, max_length=16, description="Significance of each device pair, in the order of use."),
]


class ConverterConfig(TypedConfig):
    """Family of the converters; see `simulator.devices.BaseConductanceConverter` for the physics."""

    family = "conductance converter"

    g_max: Positive = Field(default=25.0, description="Largest conductance of a device, in uS.")
    g_min: NonNegative = Field(default=0.0, description="Smallest conductance of a device, in uS.")

    @property
    def devices_per_weight(self) -> int:
        """Devices that hold one weight: a pair, unless a converter says otherwise."""
        return 2

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.g_min >= self.g_max:
            raise custom_error(
                "empty_range", f"g_min ({self.g_min:g} uS) must be less than g_max ({self.g_max:g} uS)"
            )
        return self


class SinglePairConductanceConverter(ConverterConfig):
    """One pair of devices: positive weights on g+, negative ones on g-."""

    type: Literal["SinglePairConductanceConverter"] = "SinglePairConductanceConverter"


class NPairConductanceConverter(ConverterConfig):
    """Several pairs of given significance; the next pair is used when the ones before it are exhausted."""

    type: Literal["NPairConductanceConverter"] = "NPairConductanceConverter"
    f_lst: SignificanceFactors

    @property
    def devices_per_weight(self) -> int:
        """A pair for each factor."""
        return 2 * len(self.f_lst)


class DualPairConductanceConverter(ConverterConfig):
    """Two pairs of given significance."""

    type: Literal["DualPairConductanceConverter"] = "DualPairConductanceConverter"
    f_lst: Annotated[
        tuple[Positive, Positive],
        Field(description="Significance of the two device pairs, in the order of use."),
    ]

    @property
    def devices_per_weight(self) -> int:
        """A pair for each factor."""
        return 2 * len(self.f_lst)


class CustomPairConductanceConverter(ConverterConfig):
    """Pairs whose conductances are tables over the weight, from its negative to its positive maximum."""

    type: Literal["CustomPairConductanceConverter"] = "CustomPairConductanceConverter"
    f_lst: SignificanceFactors
    g_lst: tuple[Annotated[tuple[NonNegative, ...], Field(min_length=2, max_length=4096)], ...] = Field(
        description="Tables g+, g-, g+, g-, ... in uS, one pair per factor, at evenly spaced weights."
    )
    invertibility_test: Switch = Field(
        default=True, description="Refuse tables whose sum does not give the weight back."
    )

    @property
    def devices_per_weight(self) -> int:
        """A pair for each factor."""
        return 2 * len(self.f_lst)

    @model_validator(mode="after")
    def _tables_give_weights_back(self) -> Self:
        if len(self.g_lst) != 2 * len(self.f_lst):
            raise custom_error(
                "table_count",
                f"g_lst needs two tables (g+ and g-) for each factor in f_lst: {2 * len(self.f_lst)}, "
                f"not {len(self.g_lst)}",
            )
        if len({len(table) for table in self.g_lst}) != 1:
            raise custom_error("table_length", "the tables of g_lst must all have the same number of points")
        if self.invertibility_test:
            self._test_invertibility()
        return self

    def _test_invertibility(self) -> None:
        pairs = list(zip(self.f_lst, self.g_lst[::2], self.g_lst[1::2], strict=True))
        points = len(self.g_lst[0])
        sums = [sum(f * (plus[i] - minus[i]) for f, plus, minus in pairs) for i in range(points)]
        largest = max(abs(value) for value in sums)
        steps = [upper - lower for lower, upper in pairwise(sums)]
        even = 2 * largest / (points - 1)
        if largest == 0 or any(abs(step - even) > 2e-4 * largest for step in steps):
            raise custom_error(
                "not_invertible",
                "the tables of g_lst do not give the weight back: sum of f * (g+ - g-) must rise evenly from "
                "its negative to its positive maximum (set invertibility_test to false to use them anyway)",
            )


class SingleDeviceConductanceConverter(ConverterConfig):
    """One device per weight: [min W, max W] of the tile is mapped to [g_min, g_max]."""

    type: Literal["SingleDeviceConductanceConverter"] = "SingleDeviceConductanceConverter"
    g_max: Positive = Field(default=88.199997, description="Conductance of the largest weight, in uS.")
    g_min: NonNegative = Field(default=9.0, description="Conductance of the smallest weight, in uS.")

    @property
    def devices_per_weight(self) -> int:
        """One, as the name says."""
        return 1


class FusionConductanceConverter(ConverterConfig):
    """One device per weight for |w|, its sign in digital; each output with a scale of its own.

    As on IBM's Fusion chip (aihwkit 1.1): the other device of a pair stays reset, and counts nothing. Each
    output's conductances are read back by the straight line that fits them best to its weights.
    """

    type: Literal["FusionConductanceConverter"] = "FusionConductanceConverter"
    g_max: Annotated[Positive, Field(ge=10, le=40)] = Field(
        default=40.0, description="Conductance of the largest weight of each output, in uS."
    )
    g_min: Annotated[NonNegative, Field(le=0)] = Field(
        default=0.0, description="Always 0: a reset device counts nothing."
    )

    @property
    def devices_per_weight(self) -> int:
        """The one that is programmed."""
        return 1

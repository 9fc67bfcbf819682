"""A number that is an estimate: its nominal value between a low and a high one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Band:
    """An estimate.

    Attributes:
        low: the nominal value over the uncertainty factor.
        nominal: the best guess.
        high: the nominal value times the factor.
    """

    low: float
    nominal: float
    high: float

    @classmethod
    def of(cls, nominal: float, factor: float) -> Self:
        """Return the band of a value that is known up to a factor of at least 1."""
        return cls(nominal / factor, nominal, nominal * factor)

    @classmethod
    def total(cls, bands: Iterable[Band]) -> Self:
        """Return the sum, ends added up plainly: all estimates may be wrong in the same direction."""
        every = list(bands)
        return cls(
            math.fsum(one.low for one in every),
            math.fsum(one.nominal for one in every),
            math.fsum(one.high for one in every),
        )

    def __mul__(self, factor: float) -> Band:
        return Band(self.low * factor, self.nominal * factor, self.high * factor)

    def product(self, other: Band) -> Band:
        """Return the product of two estimates that are wrong independently, in the worst way."""
        return Band(self.low * other.low, self.nominal * other.nominal, self.high * other.high)

    def inverse_of(self, numerator: float) -> Band:
        """Return `numerator` over the estimate; a division by zero gives zero, since nothing was counted."""
        return Band(*(numerator / end if end > 0 else 0.0 for end in (self.high, self.nominal, self.low)))

    def overlaps(self, other: Band) -> bool:
        """Tell whether the two may be equal, so that neither may be called the lesser."""
        return self.low <= other.high and other.low <= self.high

    def as_json(self) -> dict[str, float]:
        """Return the band as JSON has it."""
        return {"low": self.low, "nominal": self.nominal, "high": self.high}


ZERO = Band(0.0, 0.0, 0.0)


def largest(bands: Iterable[Band]) -> Band:
    """Return the largest of each end."""
    every = list(bands) or [ZERO]
    return Band(
        max(one.low for one in every), max(one.nominal for one in every), max(one.high for one in every)
    )

"""Histograms with fixed bins, so that those of several batches, tiles or times can be added and compared."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Histogram:
    """Counts values in equal bins from `-limit` to `limit`; what lies beyond counts in the outermost bins.

    Attributes:
        limit: where the bins end.
        bins: how many there are.
        counts: values in each, rising.
    """

    limit: float
    bins: int
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * self.bins

    @torch.no_grad()
    def add(self, values: Tensor) -> None:
        """Count values; those that are not numbers are left out."""
        bins = self.places(values)
        found = torch.bincount(bins[bins >= 0], minlength=self.bins)
        self.counts = [before + now for before, now in zip(self.counts, found.tolist(), strict=True)]

    def places(self, values: Tensor) -> Tensor:
        """Return the number of the bin of each value, flat; -1 of what is not a number."""
        flat = values.detach().reshape(-1).double()
        number = torch.floor((flat / self.limit + 1) * (self.bins / 2)).clamp(0, self.bins - 1)
        return torch.where(torch.isnan(number), -1.0, number).long()

    def merge(self, other: Histogram) -> None:
        """Add the counts of a histogram with the same bins."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]

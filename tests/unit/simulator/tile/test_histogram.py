"""Histograms with fixed bins."""

import torch

from simulator.tile.histogram import Histogram


def test_values_count_in_their_bins_and_those_beyond_in_the_outermost():
    found = Histogram(1.0, 4)
    found.add(torch.tensor([[-7.0, -0.9, -0.1], [0.1, 0.6, 3.0], [float("inf"), float("nan"), 0.5]]))
    assert found.counts == [2, 1, 1, 4]


def test_parts_add_up_to_the_whole():
    values = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    whole, first, second = (Histogram(1.5, 30) for _ in range(3))
    whole.add(values)
    first.add(values[:300])
    second.add(values[300:])
    first.merge(second)
    assert first == whole
    assert sum(whole.counts) == 1000

from __future__ import annotations

import pytest
import torch

from simulator.config import WeightClipParameter, WeightRemapParameter
from simulator.tile.weight_update import clip_weights, remap_scales

WEIGHTS = torch.tensor([[0.5, -2.0], [0.1, 0.4], [0.0, 0.0]])


@pytest.mark.parametrize("fixed", [-1.0, 0.0])
def test_fixed_value_needs_to_be_positive(fixed):
    clip = WeightClipParameter(type="FixedValue", fixed_value=fixed)
    assert torch.equal(clip_weights(WEIGHTS, clip), WEIGHTS)


def test_clipping_is_symmetric():
    clipped = clip_weights(WEIGHTS, WeightClipParameter(type="FixedValue", fixed_value=0.3))
    assert clipped.flatten().tolist() == pytest.approx([0.3, -0.3, 0.1, 0.3, 0.0, 0.0])


def test_average_channel_maximum():
    clipped = clip_weights(WEIGHTS, WeightClipParameter(type="AverageChannelMax"))
    assert clipped.abs().max().item() == pytest.approx((2.0 + 0.4 + 0.0) / 3)


@pytest.mark.parametrize("kind", ["LayerwiseSymmetric", "ChannelwiseSymmetric"])
def test_remapping_keeps_the_product_and_fills_the_range(kind):
    scales = torch.tensor([1.0, 2.0, 3.0])
    new = remap_scales(WEIGHTS, scales, WeightRemapParameter(type=kind))
    mapped = WEIGHTS * (scales / new).unsqueeze(1)
    torch.testing.assert_close(mapped * new.unsqueeze(1), WEIGHTS * scales.unsqueeze(1))
    maxima = mapped.abs().amax(dim=1)
    assert maxima.max().item() == pytest.approx(1.0)
    if kind == "ChannelwiseSymmetric":
        assert maxima.tolist() == pytest.approx([1.0, 1.0, 0.0])
        assert new[2].item() == 3.0


def test_layerwise_remapping_of_a_single_scale():
    remap = WeightRemapParameter(type="LayerwiseSymmetric", remapped_wmax=0.5)
    assert remap_scales(WEIGHTS, torch.tensor(2.0), remap).item() == pytest.approx(8.0)


def test_scales_are_limited_relative_to_the_smallest():
    remap = WeightRemapParameter(type="ChannelwiseSymmetric", max_scale_range=1.5)
    assert remap_scales(WEIGHTS, torch.ones(3), remap).tolist() == pytest.approx([1.5, 0.4, 1.0])

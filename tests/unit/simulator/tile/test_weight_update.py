from __future__ import annotations

import pytest
import torch

from simulator.config import WeightClipParameter, WeightRemapParameter
from simulator.rng import Purpose, generator
from simulator.tile.weight_update import clip_weights, remap_scales, update_in_place

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


@pytest.mark.parametrize("kind", ["None", "ChannelwiseSymmetric"])
@pytest.mark.parametrize("clip", [{}, {"type": "FixedValue"}, {"type": "FixedValue", "fixed_value": 0.4}])
def test_in_place_and_one_pass_give_the_same_bits(clip, kind):
    pytest.importorskip("numba")
    clip, remap = WeightClipParameter(**clip), WeightRemapParameter(type=kind, remapped_wmax=0.8)
    draws = generator(0, Purpose.VERIFICATION)
    whole, scales = torch.randn(300, 500, generator=draws), torch.rand(300, generator=draws) + 0.1
    whole[7] = 0.0
    logical = whole[:, 100:350]
    weights = logical / scales.unsqueeze(1)
    clipped = clip_weights(weights, clip)
    expected = logical.clone() if clipped is weights else clipped * scales.unsqueeze(1)
    new_scales = remap_scales(clipped, scales, remap)
    rest = whole[:, 350:].clone()
    before = whole._version
    assert update_in_place(logical, scales, clip, remap)
    assert torch.equal(logical, expected)
    assert torch.equal(scales, new_scales)
    assert torch.equal(whole[:, 350:], rest)
    assert whole._version > before


@pytest.mark.parametrize(
    ("clip", "remap"),
    [
        ({"type": "LayerGaussian"}, {}),
        ({}, {"type": "LayerwiseSymmetric"}),
        ({}, {"type": "ChannelwiseSymmetric", "max_scale_range": 2.0}),
    ],
)
def test_what_needs_more_than_a_pass_is_left_alone(clip, remap):
    logical, scales = WEIGHTS.clone(), torch.ones(3)
    assert not update_in_place(logical, scales, WeightClipParameter(**clip), WeightRemapParameter(**remap))
    assert torch.equal(logical, WEIGHTS)


def test_equal_weights_have_no_deviation_to_be_clipped_at():
    equal = torch.full((2, 3), 0.4)
    assert torch.equal(clip_weights(equal, WeightClipParameter(type="LayerGaussian")), equal)
    limited = clip_weights(equal, WeightClipParameter(type="LayerGaussian", fixed_value=0.3))
    assert torch.equal(limited, torch.full((2, 3), 0.3))

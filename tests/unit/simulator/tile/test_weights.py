from __future__ import annotations

import pytest
import torch

from simulator.config import (
    WeightClipParameter,
    WeightModifierParameter,
    WeightModifierType,
    WeightRemapParameter,
)
from simulator.rng import Purpose, generator
from simulator.tile.weights import clip_weights, modifies, modify_weights, remap_scales, update_in_place

WEIGHTS = torch.linspace(-0.8, 0.8, 12).reshape(3, 4)
UNEVEN = torch.tensor([[0.5, -2.0], [0.1, 0.4], [0.0, 0.0]])
NOISY = [kind for kind in WeightModifierType if kind not in ("None", "Copy", "DropConnect")]


def modified(weights=WEIGHTS, samples=None, **options):
    modifier = WeightModifierParameter(**{"std_dev": 0.1, "res": 0.1, **options})
    return modify_weights(weights, modifier, generator(2, Purpose.MODIFIER, "test"), samples)


@pytest.mark.parametrize("kind", ["None", "Copy", "DropConnect"])
def test_modifier_without_noise_or_drop_does_nothing(kind):
    assert not modifies(WeightModifierParameter(type=kind))
    assert modifies(WeightModifierParameter(type=kind, pdrop=0.1))


@pytest.mark.parametrize("kind", NOISY)
def test_gradient_goes_to_the_clean_weights_unchanged(kind):
    weights = WEIGHTS.clone().requires_grad_()
    result = modified(weights, type=kind)
    assert not torch.equal(result, WEIGHTS)
    result.backward(torch.ones(3, 4))
    assert torch.equal(weights.grad, torch.ones(3, 4))


@pytest.mark.parametrize("kind", NOISY)
def test_tile_of_zeros_stays_finite(kind):
    assert torch.isfinite(modified(torch.zeros(2, 3), type=kind)).all()


def test_tile_of_zeros_gets_no_additive_noise():
    assert torch.equal(modified(torch.zeros(2, 3), type="AddNormal"), torch.zeros(2, 3))


def test_discretisation_of_ties_goes_away_from_zero():
    weights = torch.tensor([[0.125, -0.125, 1.0]])
    assert modified(weights, type="Discretize", res=0.125).tolist() == [[0.25, -0.25, 1.0]]


def test_resolution_is_a_step_or_a_count():
    assert torch.equal(modified(type="Discretize", res=0.1), modified(type="Discretize", res=10.0))


def test_last_column_is_left_alone_on_request():
    result = modified(type="AddNormal", copy_last_column=True)
    assert torch.equal(result[:, -1], WEIGHTS[:, -1])
    assert not torch.equal(result[:, 0], WEIGHTS[:, 0])


def test_samples_have_draws_of_their_own_and_share_the_gradient():
    weights = WEIGHTS.clone().requires_grad_()
    result = modified(weights, samples=5, type="AddNormal")
    assert result.shape == (5, 3, 4)
    assert not torch.equal(result[0], result[1])
    result.sum().backward()
    assert torch.equal(weights.grad, torch.full((3, 4), 5.0))


@pytest.mark.parametrize("probability", ["pcm_prob_at_reset", "pcm_prob_at_gmax"])
def test_stuck_devices_read_zero_or_full_scale(probability):
    result = modified(WEIGHTS.repeat(100, 1), type="PCMNoise", **{probability: 1.0})
    expected = 0.0 if probability.endswith("reset") else 0.8
    torch.testing.assert_close(result.abs(), torch.full_like(result, expected))


def test_pcm_weights_below_the_threshold_count_as_zero():
    options = {"type": "PCMNoise", "std_dev": 0.0, "pcm_t_inference": 0.0}
    result = modified(pcm_zero_thres=0.5, **options)
    assert torch.equal(result == 0, WEIGHTS.abs() < 0.5)


def test_the_last_column_that_is_copied_does_not_count_in_the_largest_weight():
    with_bias = torch.cat([WEIGHTS, torch.full((3, 1), 5.0)], dim=1)
    options = {"type": "Discretize", "res": 0.1}
    result = modified(with_bias, copy_last_column=True, **options)
    assert torch.equal(result[:, :-1], modified(WEIGHTS, **options))
    assert torch.equal(result[:, -1], with_bias[:, -1])


def test_a_tile_of_nothing_but_a_copied_column_stays():
    bias = torch.tensor([[0.3], [-0.2]])
    assert torch.equal(modified(bias, type="AddNormal", copy_last_column=True), bias)


@pytest.mark.parametrize("fixed", [-1.0, 0.0])
def test_fixed_value_needs_to_be_positive(fixed):
    clip = WeightClipParameter(type="FixedValue", fixed_value=fixed)
    assert torch.equal(clip_weights(UNEVEN, clip), UNEVEN)


def test_clipping_is_symmetric():
    clipped = clip_weights(UNEVEN, WeightClipParameter(type="FixedValue", fixed_value=0.3))
    assert clipped.flatten().tolist() == pytest.approx([0.3, -0.3, 0.1, 0.3, 0.0, 0.0])


def test_average_channel_maximum():
    clipped = clip_weights(UNEVEN, WeightClipParameter(type="AverageChannelMax"))
    assert clipped.abs().max().item() == pytest.approx((2.0 + 0.4 + 0.0) / 3)


@pytest.mark.parametrize("kind", ["LayerwiseSymmetric", "ChannelwiseSymmetric"])
def test_remapping_keeps_the_product_and_fills_the_range(kind):
    scales = torch.tensor([1.0, 2.0, 3.0])
    new = remap_scales(UNEVEN, scales, WeightRemapParameter(type=kind))
    mapped = UNEVEN * (scales / new).unsqueeze(1)
    torch.testing.assert_close(mapped * new.unsqueeze(1), UNEVEN * scales.unsqueeze(1))
    maxima = mapped.abs().amax(dim=1)
    assert maxima.max().item() == pytest.approx(1.0)
    if kind == "ChannelwiseSymmetric":
        assert maxima.tolist() == pytest.approx([1.0, 1.0, 0.0])
        assert new[2].item() == 3.0


def test_layerwise_remapping_of_a_single_scale():
    remap = WeightRemapParameter(type="LayerwiseSymmetric", remapped_wmax=0.5)
    assert remap_scales(UNEVEN, torch.tensor(2.0), remap).item() == pytest.approx(8.0)


def test_scales_are_limited_relative_to_the_smallest():
    remap = WeightRemapParameter(type="ChannelwiseSymmetric", max_scale_range=1.5)
    assert remap_scales(UNEVEN, torch.ones(3), remap).tolist() == pytest.approx([1.5, 0.4, 1.0])


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
    logical, scales = UNEVEN.clone(), torch.ones(3)
    assert not update_in_place(logical, scales, WeightClipParameter(**clip), WeightRemapParameter(**remap))
    assert torch.equal(logical, UNEVEN)


def test_equal_weights_have_no_deviation_to_be_clipped_at():
    equal = torch.full((2, 3), 0.4)
    assert torch.equal(clip_weights(equal, WeightClipParameter(type="LayerGaussian")), equal)
    limited = clip_weights(equal, WeightClipParameter(type="LayerGaussian", fixed_value=0.3))
    assert torch.equal(limited, torch.full((2, 3), 0.3))

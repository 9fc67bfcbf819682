from __future__ import annotations

import math

import pytest
import torch

from simulator.tile.dac_adc import digitise, normalise


def test_rounds_half_to_even():
    values = torch.tensor([0.5, 1.5, 2.5, -0.5])
    assert digitise(values, 1.0, math.inf).tolist() == [0.0, 2.0, 2.0, 0.0]


def test_clips_after_rounding():
    assert digitise(torch.tensor([0.74, 0.76, 3.0]), 0.5, 1.0).tolist() == [0.5, 1.0, 1.0]


def test_given_values_are_left_alone():
    values = torch.tensor([0.3, 3.0])
    digitise(values, 0.5, 1.0, scale=2.0)
    assert values.tolist() == pytest.approx([0.3, 3.0])


def test_nothing_to_do_returns_the_values_themselves():
    values = torch.ones(2)
    assert digitise(values, 0.0, math.inf) is values


def test_noise_comes_before_rounding_and_scale_after_clipping():
    result = digitise(torch.tensor([0.3, 0.9]), 0.5, 1.0, noise=torch.tensor([0.3, 9.0]), scale=10.0)
    assert result.tolist() == [5.0, 10.0]


def test_dither_decides_the_code():
    values = torch.full((2,), 0.4)
    assert digitise(values, 1.0, math.inf, dither=torch.tensor([0.0, 0.2])).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("step", [0.0, 0.125])
def test_gradient_passes_scaled_where_nothing_was_clipped(step):
    values = torch.tensor([-2.0, -1.0, 0.3, 1.0, 1.2], requires_grad=True)
    digitise(values, step, 1.0, scale=3.0).sum().backward()
    assert values.grad.tolist() == [0.0, 3.0, 3.0, 3.0, 0.0]


def test_top_code_that_exceeds_the_bound_by_an_ulp_is_not_clipped():
    step = float(torch.tensor(24 / 510))
    values = torch.tensor([11.99], requires_grad=True)
    digitise(values, step, 12.0).sum().backward()
    assert values.grad.item() == 1.0


def test_works_in_inference_mode():
    with torch.inference_mode():
        assert digitise(torch.tensor([0.3]), 0.5, 1.0, noise=torch.zeros(1)).item() == 0.5


ODD = 2 / 127  # 63.5 steps to the bound: the bound itself is rounded to a code above it


@pytest.mark.parametrize("scale", [1.0, 0.5, torch.tensor([0.5])])
def test_an_input_within_the_bound_keeps_its_gradient_though_its_code_is_not(scale):
    values = torch.tensor([0.2, 0.998, 1.0, -1.0, 1.02, -1.02]).mul(float(scale)).requires_grad_()
    converted = normalise(values, scale, ODD, 1.0)
    assert converted.abs().max().item() == 1.0
    converted.sum().backward()
    assert torch.equal(values.grad * float(scale), torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0]))


def test_an_input_whose_code_is_within_the_bound_keeps_its_gradient():
    values = torch.tensor([1.05, 1.07], requires_grad=True)
    normalise(values, 1.0, 0.125, 1.0).sum().backward()
    assert values.grad.tolist() == [1.0, 0.0]


def test_an_output_within_the_bound_keeps_its_gradient_though_its_code_is_not():
    values = torch.tensor([0.999, -0.999, 1.02], requires_grad=True)
    digitise(values, ODD, 1.0, scale=2.0).sum().backward()
    assert values.grad.tolist() == [2.0, 2.0, 0.0]


def test_an_input_within_the_bound_keeps_its_gradient_when_it_is_rounded_at_random():
    values = torch.full((2,), 0.95, requires_grad=True)
    normalise(values, 1.0, 0.3, 1.0, torch.tensor([-0.4, 0.4])).sum().backward()
    assert values.grad.tolist() == [1.0, 1.0]


def test_what_an_input_range_clipped_keeps_its_gradient_behind_the_dac():
    values = torch.tensor([0.3, 0.8, 1.0, -1.0], requires_grad=True)
    normalise(values, 1.0, 0.0, 0.5, None, 1.0).sum().backward()
    assert values.grad.tolist() == [1.0, 0.0, 1.0, 1.0]

from __future__ import annotations

import pytest
import torch

from simulator.config import InputRangeParameter
from simulator.tile.input_range import OutputClipping, clip_to_range, range_from_data

RULE = InputRangeParameter(enable=True, decay=0.0)


def run(values, arriving, rule=RULE, input_range=2.0, clipping=None):
    """Return the normalised inputs, their gradient, and the range's, for a tile that multiplies by the range."""
    x = torch.tensor(values, requires_grad=True)
    r = torch.tensor([input_range], requires_grad=True)
    y = clip_to_range(x, r, rule, clipping)
    (y * r.detach()).backward(torch.tensor(arriving))
    return y.tolist(), x.grad.tolist(), r.grad.item()


def test_inputs_are_clipped_and_normalised():
    y, _, _ = run([-3.0, -1.0, 2.0, 5.0], [0.0] * 4)
    assert y == [-1.0, -0.5, 1.0, 1.0]


def test_gradient_passes_up_to_the_range_and_stops_beyond():
    _, dx, _ = run([-3.0, -1.0, 2.0, 5.0], [1.0] * 4)
    assert dx == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("value", "arriving", "expected"),
    [
        (3.0, -1.0, -2.0),
        (3.0, 1.0, 0.0),
        (-3.0, 1.0, -2.0),
        (-3.0, -1.0, 0.0),
        (1.0, -1.0, 0.0),
        (2.0, -1.0, -2.0),
    ],
)
def test_range_grows_where_clipped_inputs_want_to(value, arriving, expected):
    assert run([value], [arriving])[2] == pytest.approx(expected)


def test_gradient_need_not_be_relative():
    rule = RULE.model_copy(update={"gradient_relative": False, "gradient_scale": 0.5})
    assert run([3.0], [-1.0], rule)[2] == pytest.approx(-0.5)


@pytest.mark.parametrize(("share", "decays"), [(0.4, True), (0.6, False)])
def test_decay_acts_while_enough_inputs_are_inside(share, decays):
    rule = RULE.model_copy(update={"decay": 0.1, "input_min_percentage": share})
    assert run([1.0, 3.0], [0.0, 0.0], rule)[2] == pytest.approx(0.2 if decays else 0.0)


@pytest.mark.parametrize(("clipped", "expected"), [(0.5, -1.0), (0.01, 0.0)])
def test_clipped_outputs_widen_the_range_when_that_is_managed(clipped, expected):
    rule = RULE.model_copy(update={"manage_output_clipping": True})
    clipping = OutputClipping(torch.tensor(clipped))
    assert run([1.0], [0.0], rule, clipping=clipping)[2] == pytest.approx(expected)


def test_rounding_belongs_to_the_normalised_value():
    x = torch.tensor([0.3, 1.6, 9.0])
    assert clip_to_range(x, torch.tensor([2.0]), RULE, step=0.25).tolist() == [0.25, 0.75, 1.0]


def test_range_from_data_is_the_running_mean_of_deviations():
    x = torch.tensor([-1.0, 1.0])
    first = range_from_data(torch.tensor([3.0]), x, 0, 2.0)
    second = range_from_data(first, 3 * x, 1, 2.0)
    assert first.item() == pytest.approx(2 * 2**0.5)
    assert second.item() == pytest.approx(4 * 2**0.5)


@pytest.mark.parametrize("x", [torch.zeros(4), torch.ones(1)])
def test_constant_data_leaves_the_range(x):
    assert range_from_data(torch.tensor([3.0]), x, 0, 2.0).item() == 3.0


def test_an_input_at_the_end_of_a_range_gets_no_gradient_where_the_dac_clips_it():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    r = torch.tensor([2.0], requires_grad=True)
    clip_to_range(x, r, RULE, dac_clips=True).backward(torch.tensor([-1.0, -1.0, -1.0]))
    assert x.grad.tolist() == [-0.5, 0.0, 0.0]
    assert r.grad.item() == pytest.approx(-2.0)

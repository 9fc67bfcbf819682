"""The counts that multiply prices."""

from __future__ import annotations

import pytest

from simulator.cost.counting import Bits, Times, bits_of


@pytest.mark.parametrize(
    ("resolution", "bits"),
    [(1 / 126, 7), (1 / 510, 9), (126, 7), (256, 8), (1 / 256, 8), (257, 9), (1.0, 1), (0, None), (-1, None)],
)
def test_bits_of_a_resolution(resolution, bits):
    assert bits_of(resolution) == bits


def test_short_inputs_go_in_one_phase():
    bits = Bits(4, 6, 1, one_phase_up_to_bits=3)
    assert bits.phases == (3,)
    assert bits.count(Times.INTEGRATION_STEP) == 7
    assert bits.count(Times.ADC_STEP) == 6
    assert bits.count(Times.PHASE) == 1


def test_long_inputs_are_cut_into_two_phases():
    bits = Bits(8, 10, 1, one_phase_up_to_bits=3)
    assert bits.phases == (4, 3)
    assert bits.count(Times.INTEGRATION_STEP) == 15 + 7
    assert bits.count(Times.ADC_STEP) == 10 + 6
    assert bits.count(Times.PHASE) == 2


def test_passes_multiply_all_but_what_is_due_once_a_product():
    once, twice = Bits(5, 7, 1, None), Bits(5, 7, 2, None)
    for times in Times:
        assert twice.count(times) == once.count(times) * (1 if times is Times.PRODUCT else 2)


def test_one_input_bit_has_a_magnitude():
    assert Bits(1, 3, 1, 3).count(Times.MAGNITUDE_BIT) == 1

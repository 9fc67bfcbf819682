"""Converters after the survey, and digital logic between nodes, against the figures that were worked out."""

from __future__ import annotations

import pytest

from simulator.cost import nodes, survey
from simulator.cost.prices import AdcSurvey


@pytest.mark.parametrize(("node_nm", "pj"), [(14, 0.362), (32, 1.71), (65, 6.49), (130, 23.9)])
def test_the_survey_fit_gives_the_energy_of_8_bits(node_nm, pj):
    assert 1e12 * survey.adc_energy_j(8, 1e8, node_nm) == pytest.approx(pj, rel=0.005)


@pytest.mark.parametrize(("bits", "pj"), [(4, 0.195), (6, 0.225), (10, 0.70)])
def test_the_survey_fit_gives_the_energy_at_14_nm(bits, pj):
    assert 1e12 * survey.adc_energy_j(bits, 1e8, 14) == pytest.approx(pj, rel=0.005)


def test_a_digital_operation_costs_less_at_a_smaller_node():
    factors = [nodes.energy_factor(130, to_nm) for to_nm in (130, 90, 65, 45, 32, 20, 16, 14, 10, 7)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)


def test_energy_from_65_to_32_nm_is_the_quotient_of_the_published_polynomials():
    at_65 = 3.755 * 0.64 - 4.398 * 0.8 + 1.975
    at_32 = 0.9559 * 0.64 - 0.7823 * 0.8 + 0.471
    assert nodes.energy_factor(65, 32) == pytest.approx(at_32 / at_65)


def test_a_node_between_two_lies_between_them():
    assert nodes.energy_factor(45, 32) < nodes.energy_factor(40, 32) * nodes.energy_factor(45, 40) * 1.0001
    assert nodes.energy_factor(45, 40) > nodes.energy_factor(45, 32)
    assert nodes.area_factor(32, 28) == pytest.approx(0.46 ** (0.13353 / 0.47), rel=0.001)


def test_a_converter_of_few_bits_costs_no_more_than_one_of_more():
    # The fit itself turns up again below 5 bits, where a converter of more bits does as well.
    assert survey.adc_energy_j(2, 1e8, 28) > survey.adc_energy_j(5, 1e8, 28)
    fit = AdcSurvey(fit="adc_survey", node_nm=28, samples_per_s=1e8)
    energies = [fit.energy(bits).nominal for bits in range(1, 15)]
    assert energies == sorted(energies)

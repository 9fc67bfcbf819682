"""The profiles that ship, against the figures that their sources publish."""

from __future__ import annotations

import pytest

from simulator.config import LayerRules, resolve
from simulator.cost import (
    estimate,
    network_of,
    peak,
    profile_names,
    resolve_hardware,
    shipped_profile,
    survey,
)
from simulator.cost.prices import Price
from tests.unit.simulator.cost.networks import resnet20

# Wan et al., Nature 2022: (output bits, input bits) -> TOPS, TOPS/W
NEURRAM = {
    (3, 1): (2.122, 43.08),
    (4, 2): (1.793, 40.33),
    (5, 3): (1.165, 23.09),
    (6, 4): (0.744, 15.95),
    (7, 5): (0.525, 11.03),
    (8, 6): (0.418, 8.26),
    (9, 7): (0.344, 7.75),
    (10, 8): (0.264, 6.44),
}
NEURRAM_IN_ONE_PHASE = {(7, 5): (0.452, 11.33), (8, 6): (0.261, 9.12)}
# Shafiee et al., ISCA 2016, table of components: a tile has 12 units of 8 arrays and 8 converters each.
ISAAC_TILE_W, ISAAC_TILE_MM2, ISAAC_ARRAYS = 0.330, 0.372, 96
ISAAC_SAMPLES_PER_S, ISAAC_CYCLE_S = 1.2e9, 100e-9
ISAAC_TILE_AROUND_UNITS_W = 0.0409  # memory, bus, a quarter of a router, digital units
# What two public models of such chips quote of that table, as (W, mm2): of a unit of 8 arrays, from
# puma-simulator; of a tile around its units, from hwcomponents-library and, for the sigmoid, puma-simulator.
QUOTED_OF_A_UNIT = {
    "adc": (8 * 2.0e-3, 8 * 0.0012),
    "dac": (1024 * 3.896875e-6, 1024 * 1.67e-7),
    "sample_hold": (1024 * 9.7e-9, 0.00004),
    "cells": (8 * 0.3e-3, 8 * 2.5e-5),
    "shift_add": (4 * 0.05e-3, 4 * 0.00006),
}
QUOTED_AROUND_UNITS = {
    "memory": (20.7e-3, 0.083),
    "bus": (7e-3, 12 * 0.0075),
    "quarter of a router": (42e-3 / 4, 0.0375),
    "sigmoid": (0.26e-3, 0.0003),
}


@pytest.mark.parametrize("bits", NEURRAM, ids=str)
def test_neurram_does_what_was_published(bits):
    found, (tops, tops_per_w) = peak(shipped_profile("NeuRRAM130nm"), bits[1], bits[0]), NEURRAM[bits]
    assert found.tops.nominal == pytest.approx(tops, rel=0.15)
    assert found.tops_per_w.nominal == pytest.approx(tops_per_w, rel=0.15)
    assert found.tops.low < tops < found.tops.high
    assert found.tops_per_w.low < tops_per_w < found.tops_per_w.high


@pytest.mark.parametrize("bits", NEURRAM_IN_ONE_PHASE, ids=str)
def test_neurram_does_what_was_published_in_one_phase(bits):
    overrides = {"schedule": {"one_phase_up_to_bits": None}}
    profile = resolve_hardware({"profile": "NeuRRAM130nm", "overrides": overrides})
    found, (tops, tops_per_w) = peak(profile, bits[1], bits[0]), NEURRAM_IN_ONE_PHASE[bits]
    assert found.tops.nominal == pytest.approx(tops, rel=0.15)
    assert found.tops_per_w.nominal == pytest.approx(tops_per_w, rel=0.15)


@pytest.mark.parametrize(
    ("name", "tops", "tops_per_w"), [("HERMES14nm", 63.1, 9.76), ("HERMES14nmFourPhases", 16.1, 2.48)]
)
def test_the_14_nm_chip_does_what_was_published(name, tops, tops_per_w):
    found = peak(shipped_profile(name))
    assert found.tops.nominal == pytest.approx(tops, rel=0.005)
    assert found.tops_per_w.nominal == pytest.approx(tops_per_w, rel=0.005)


def test_the_14_nm_core_is_as_dense_as_was_published():
    found = peak(shipped_profile("HERMES14nm")).tops_per_mm2
    assert found is not None
    assert found.nominal == pytest.approx(1.59, rel=0.02)


def test_the_power_of_isaacs_tile_adds_up_from_its_components():
    energy = shipped_profile("ISAAC32nm").energy

    def joules(name, bits=8):
        return energy[name].price.band(16, bits)[0].nominal

    converters = ISAAC_ARRAYS * joules("adc") * ISAAC_SAMPLES_PER_S
    # Once a cycle: for each row, each column, or the whole array.
    each = {"dac": 128, "cells": 1, "sample_hold": 128, "registers": 1}
    cycle = ISAAC_ARRAYS / ISAAC_CYCLE_S * sum(count * joules(name) for name, count in each.items())
    shift_add = ISAAC_ARRAYS * joules("shift_add") * ISAAC_SAMPLES_PER_S
    total = converters + cycle + shift_add + ISAAC_TILE_AROUND_UNITS_W
    assert total == pytest.approx(ISAAC_TILE_W, rel=0.05)


def test_the_area_of_isaacs_tile_adds_up_from_its_components():
    profile = shipped_profile("ISAAC32nm")
    density, found = peak(profile).tops_per_mm2, peak(profile)
    assert density is not None
    assert found.tops.nominal / density.nominal == pytest.approx(ISAAC_TILE_MM2, rel=0.05)


def test_what_others_quote_of_isaacs_table_is_what_the_profile_says():
    profile = shipped_profile("ISAAC32nm")
    energy, area = profile.energy, profile.area
    rates = dict.fromkeys(QUOTED_OF_A_UNIT, 1 / ISAAC_CYCLE_S)
    rates |= dict.fromkeys(("adc", "shift_add"), ISAAC_SAMPLES_PER_S)
    # How many of `each` a unit of 8 arrays has: converters and adders take turns on all columns.
    counts = {"adc": 8, "dac": 1024, "sample_hold": 1024, "cells": 8, "shift_add": 8}
    for name, (power_w, area_mm2) in QUOTED_OF_A_UNIT.items():
        own = energy[name].price.band(16, 8)[0].nominal * counts[name] * rates[name]
        assert own == pytest.approx(power_w, rel=0.08), name
        assert 8 * area[name].price.band(16, 8)[0].nominal == pytest.approx(area_mm2, rel=0.03), name


def test_what_others_quote_of_isaacs_table_is_nine_tenths_of_its_tile():
    power_w = 12 * sum(one[0] for one in QUOTED_OF_A_UNIT.values())
    power_w += sum(one[0] for one in QUOTED_AROUND_UNITS.values())
    area_mm2 = 12 * sum(one[1] for one in QUOTED_OF_A_UNIT.values())
    area_mm2 += sum(one[1] for one in QUOTED_AROUND_UNITS.values())
    assert power_w / ISAAC_TILE_W == pytest.approx(0.94, abs=0.005)
    assert area_mm2 / ISAAC_TILE_MM2 == pytest.approx(0.90, abs=0.005)


def test_the_survey_fit_lies_within_its_factor_of_isaacs_converter_in_energy():
    published = shipped_profile("ISAAC32nm").energy["adc"].price.band(16, 8)[0].nominal
    fitted = survey.adc_energy_j(8, ISAAC_SAMPLES_PER_S, 32)
    assert published / survey.FACTOR < fitted < published * survey.FACTOR


def test_the_survey_fit_does_not_give_isaacs_area_which_the_documentation_says():
    assert survey.adc_area_mm2(8, ISAAC_SAMPLES_PER_S, 32) > survey.FACTOR * 1200e-6


def test_resnet20_takes_11073_tile_operations_and_148_uj_on_the_14_nm_chip():
    config = resolve({"mapping": {"max_input_size": 256, "max_output_size": 256}})
    profile = shipped_profile("HERMES14nm")
    found = estimate(network_of(resnet20(), config, LayerRules(), profile), profile)
    assert sum(layer.tile_operations for layer in found.layers) == 11_073
    assert found.components["tile"].nominal == pytest.approx(148e-6, rel=0.005)
    assert found.macs == pytest.approx(40.6e6, rel=0.002)


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_names_a_source_for_every_number_and_is_named_as_its_file(name):
    profile = shipped_profile(name)
    assert profile.name == name
    charges = [*profile.energy.values(), *profile.time.values(), *profile.area.values()]
    prices = [charge.price for charge in charges]
    assert all(len(price.source) > 5 for price in prices if isinstance(price, Price))

"""Energy, latency and area of networks: by hand, and by laws that hold for all of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config import LayerRules, resolve
from simulator.cost import (
    Activity,
    Band,
    HardwareProfile,
    estimate,
    estimate_json,
    network_of,
    profile_names,
    resolve_hardware,
    shipped_profile,
)
from tests.unit.simulator.cost.networks import layer, operation, report, resnet20

PAPER = {"source": "a paper", "factor": 2.0}


def price(value, unit, factor=2.0):
    return {"value": value, "unit": unit, "source": "a paper", "factor": factor}


# Two layers on arrays of 4x4 with a converter for two columns, all prices round.
BY_HAND = HardwareProfile.model_validate(
    {
        "name": "by hand",
        "node_nm": 32,
        "array": {"rows": 4, "columns": 4},
        "converters": {"input_bits": 3, "output_bits": 4},
        "schedule": {"columns_per_converter": 2, "activation_bits": 16, "link_hops": 3},
        "energy": {
            "dac": {"each": "used_row", "times": "input_bit", "price": price(1, "pJ")},
            "adc": {"each": "used_column", "times": "pass", "price": price(10, "pJ")},
            "cells": {"each": "used_cell", "times": "pass", "price": price(0.1, "pJ")},
            "control": {"each": "array", "times": "pass", "price": price(100, "pJ")},
            "sums": {"each": "partial_sum", "price": price(1000, "pJ")},
            "post": {"each": "output", "price": price(10, "nJ")},
            "read": {"each": "byte_read", "price": price(100, "nJ")},
            "write": {"each": "byte_written", "price": price(1, "uJ")},
            "link": {"each": "link_bit", "price": price(10, "uJ")},
            "alu": {"each": "operation", "price": price(100, "uJ")},
            "mac": {"each": "mac", "price": price(1, "mJ")},
        },
        "time": {
            "integration": {"times": "pass", "price": price(100, "ns")},
            "adc": {"each": "converted_column", "times": "pass", "price": price(10, "ns")},
            "post": {"price": price(1, "ns")},
            "alu": {"each": "operation", "price": price(1, "us")},
        },
        "area": {
            "array": {"each": "array", "price": price(1, "mm2")},
            "adc": {"each": "converter", "price": price(1000, "um2")},
            "chip": {"each": "chip", "price": price(5, "mm2")},
        },
        "static_power": {"clock": {"price": price(1, "W")}},
    }
)
PERFECT = {"forward": {"is_perfect": True}, "mapping": {"max_input_size": 4, "max_output_size": 4}}


def cost(*layers, profile=BY_HAND, config=None, operations=(), activity=None):
    network = network_of(
        report(*layers, operations=operations), resolve(config or PERFECT), LayerRules(), profile
    )
    return estimate(network, profile, activity)


def test_two_layers_by_hand():
    # 6 inputs, 4 outputs, twice; then 4 inputs, 2 outputs: tiles of 3x4, 3x4 and 4x2.
    relu = operation("Relu", operations=8, read=8, written=8)
    found = cost(layer("first", (4, 6), 2), layer("second", (2, 4)), operations=[relu])
    first, second, digital = found.layers
    assert (first.tile_operations, second.tile_operations) == (4, 1)
    assert first.utilisation == pytest.approx(24 / 32)
    assert second.utilisation == pytest.approx(8 / 16)
    expected = {
        "dac": (2 * 6 * 3 * 1e-12, 4 * 3 * 1e-12),
        "adc": (2 * 8 * 10e-12, 2 * 10e-12),
        "cells": (2 * 24 * 0.1e-12, 8 * 0.1e-12),
        "control": (2 * 2 * 100e-12, 100e-12),
        "sums": (2 * 4 * 1e-9, None),
        "post": (2 * 4 * 10e-9, 2 * 10e-9),
        "read": (2 * 6 * 3 / 8 * 100e-9, 4 * 3 / 8 * 100e-9),
        "write": (2 * 4 * 4 / 8 * 1e-6, 2 * 4 / 8 * 1e-6),
        "link": (2 * 4 * 4 * 3 * 10e-6, 2 * 4 * 3 * 10e-6),
    }
    for name, (of_first, of_second) in expected.items():
        assert first.energy[name].nominal == pytest.approx(of_first), name
        assert (None if name not in second.energy else second.energy[name].nominal) == (
            None if of_second is None else pytest.approx(of_second)
        ), name
    assert digital.energy["alu"].nominal == pytest.approx(800e-6)
    assert digital.energy["read"].nominal == pytest.approx(8 * 2 * 100e-9)
    product_s = 100e-9 + 2 * 10e-9 + 1e-9
    assert [one.latency.nominal for one in found.layers] == pytest.approx([2 * product_s, product_s, 8e-6])
    latency_s = 3 * product_s + 8e-6
    assert found.latency_s.nominal == found.interval_s.nominal == pytest.approx(latency_s)
    assert first.energy["clock"].nominal == pytest.approx(latency_s * 2 * product_s / latency_s)
    assert found.area_mm2 is not None
    assert found.area_mm2.nominal == pytest.approx(3 * 1 + 3 * 2 * 1e-3 + 5)
    assert found.macs == 2 * 24 + 8
    assert found.tops.nominal == pytest.approx(2e-12 * 56 / latency_s)
    assert found.tops_per_w.nominal == pytest.approx(2e-12 * 56 / found.energy_j.nominal)
    assert found.energy_delay_js.nominal == pytest.approx(found.energy_j.nominal * latency_s)


def test_a_readout_for_compensation_is_a_product_for_each_input_of_a_tile():
    found = cost(layer("fc", (4, 6)))
    a_tile = 3 * 3 * 1e-12 + 4 * 10e-12 + 12 * 0.1e-12 + 100e-12
    assert found.maintenance["compensate"].nominal == pytest.approx(2 * 3 * a_tile)


def test_maintenance_is_what_the_configuration_and_the_network_have():
    config = {**PERFECT, "drift_compensation": None, "pre_post": {"input_range": {"enable": True}}}
    norm = {**operation("bn", operations=8), "op": "BatchNorm2d"}
    found = cost(layer("fc", (4, 4)), config=config, operations=[norm])
    assert set(found.maintenance) == {"calibrate_input_ranges", "refresh_batch_norm"}
    assert found.maintenance["refresh_batch_norm"].nominal == pytest.approx(512 * found.energy_j.nominal)


def test_reprogramming_is_listed_where_a_device_has_a_price():
    profile = BY_HAND.model_copy(deep=True, update={})
    profile = HardwareProfile.model_validate(
        {**profile.model_dump(mode="json"), "programming": {"device": price(1, "nJ")}}
    )
    found = cost(layer("fc", (4, 4)), profile=profile)
    assert found.maintenance["reprogram"].nominal == pytest.approx(16 * 2 * 1e-9)
    assert not any("reprogramming" in one for one in found.assumptions)


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_says_that_it_knows_no_price_of_reprogramming(name):
    found = cost(layer("fc", (4, 4)), profile=shipped_profile(name))
    assert "reprogram" not in found.maintenance
    [said] = [one for one in found.assumptions if "reprogramming" in one]
    assert "is not known" in said


def test_pipelining_sets_the_interval_to_the_slowest_layer():
    found = estimate(
        network_of(resnet20(), resolve({}), LayerRules(), shipped_profile("HERMES14nm")),
        shipped_profile("HERMES14nm"),
    )
    assert found.interval_s.nominal == max(layer.latency.nominal for layer in found.layers)
    assert found.interval_s.nominal < found.latency_s.nominal


def test_copies_divide_the_time_and_multiply_the_area_at_most_by_the_products():
    profile = HardwareProfile.model_validate(
        {**BY_HAND.model_dump(mode="json"), "schedule": {"copies": 4}, "static_power": {}}
    )
    plain = HardwareProfile.model_validate(
        {**BY_HAND.model_dump(mode="json"), "schedule": {}, "static_power": {}}
    )
    layers = (layer("many", (4, 4), 100), layer("few", (4, 4), 2))
    copied, single = cost(*layers, profile=profile), cost(*layers, profile=plain)
    assert [one.latency.nominal for one in copied.layers] == pytest.approx(
        [single.layers[0].latency.nominal / 4, single.layers[1].latency.nominal / 2]
    )
    assert copied.area_parts["array"].nominal == pytest.approx(4 + 2)
    assert copied.energy_j.nominal == pytest.approx(single.energy_j.nominal)


def test_rows_of_arrays_in_turn_take_their_time():
    profile = HardwareProfile.model_validate(
        {**BY_HAND.model_dump(mode="json"), "schedule": {"array_rows_at_once": 2}}
    )
    tall = layer("tall", (4, 20))
    at_once = cost(tall).latency_s.nominal - 1e-9
    assert cost(tall, profile=profile).latency_s.nominal - 1e-9 == pytest.approx(3 * (at_once - 10e-9))


def test_measured_activity_is_used_where_the_profile_uses_it_and_said():
    generic = shipped_profile("Generic28nm")
    measured = {"fc": Activity(mean_input=0.125, conductance_s=10e-6)}
    fc = layer("fc", (64, 64))
    before, after = cost(fc, profile=generic), cost(fc, profile=generic, activity=measured)
    assert after.components["cells"].nominal == pytest.approx(before.components["cells"].nominal)
    assert after.components["cells"].high < before.components["cells"].high
    assert any("is the job's own" in one for one in after.assumptions)
    assert any("is the profile's: 5 uS" in one for one in before.assumptions)
    fitted = shipped_profile("NeuRRAM130nm")
    assert cost(fc, profile=fitted, activity=measured).components == cost(fc, profile=fitted).components


def test_a_profile_without_digital_prices_says_what_is_not_counted():
    profile = resolve_hardware(
        {"profile": "HERMES14nm", "overrides": {"energy": {"digital_operation": None, "digital_mac": None}}}
    )
    matmul = operation("MatMul", macs=1000, operations=10, read=1, written=1)
    found = cost(layer("fc", (4, 4)), profile=profile, operations=[matmul])
    assert any("1,000 are not counted" in one for one in found.assumptions)
    assert any("10 are not counted" in one for one in found.assumptions)


def test_digital_prices_are_scaled_between_nodes_and_analog_ones_are_not():
    overrides = {"node_nm": 14}
    at_14 = resolve_hardware({"profile": "ISAAC32nm", "overrides": overrides})
    fc = layer("fc", (64, 64), op="Linear")
    small, large = cost(fc, profile=at_14), cost(fc, profile=shipped_profile("ISAAC32nm"))
    assert small.components["adc"] == large.components["adc"]
    assert small.components["edram_read"].nominal < large.components["edram_read"].nominal
    assert any("analog parts are not scaled to 14 nm" in one for one in small.assumptions)


@pytest.mark.parametrize("name", profile_names())
def test_sums_over_layers_and_over_components_agree(name):
    profile = shipped_profile(name)
    found = estimate_json(estimate(network_of(resnet20(), resolve({}), LayerRules(), profile), profile))
    for end in ("low", "nominal", "high"):
        total = found["energy_j"][end]
        by_layer = math.fsum(layer["energy_j"][end] for layer in found["layers"])
        by_component = math.fsum(component[end] for component in found["components"].values())
        within = math.fsum(part[end] for layer in found["layers"] for part in layer["components"].values())
        groups = math.fsum(found[group][end] for group in ("analog_j", "digital_j", "static_j"))
        for other in (by_layer, by_component, within, groups):
            assert other == pytest.approx(total, rel=1e-12)
        assert math.fsum(layer["latency_s"][end] for layer in found["layers"]) == pytest.approx(
            found["latency_s"][end], rel=1e-12
        )


@pytest.mark.parametrize("name", profile_names())
def test_every_figure_has_a_band_around_it(name):
    profile = shipped_profile(name)
    found = estimate_json(estimate(network_of(resnet20(), resolve({}), LayerRules(), profile), profile))
    for figure in ("energy_j", "latency_s", "interval_s", "tops", "tops_per_w", "energy_delay_js"):
        band = found[figure]
        assert 0 < band["low"] < band["nominal"] < band["high"], figure


def test_bands_that_overlap_have_no_order():
    assert Band(1, 2, 4).overlaps(Band(3, 6, 12))
    assert not Band(1, 2, 4).overlaps(Band(5, 6, 12))


LAYERS = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 300), st.integers(1, 50)), min_size=1, max_size=4
)


def everything(found):
    return (found.energy_j.nominal, found.latency_s.nominal, found.interval_s.nominal)


def config_with(*, input_bits=7, output_bits=8, mv_type="OnePass"):
    forward = {"inp_res": 2**-input_bits, "out_res": 2**-output_bits, "mv_type": mv_type}
    return {"forward": forward, "mapping": {"max_input_size": 256, "max_output_size": 256}}


@settings(max_examples=25, deadline=None)
@given(shapes=LAYERS, bits=st.integers(2, 9), name=st.sampled_from(profile_names()))
def test_more_bits_never_cost_less(shapes, bits, name):
    layers = [layer(str(i), (out, in_), count) for i, (out, in_, count) in enumerate(shapes)]
    profile = shipped_profile(name)
    less = cost(*layers, profile=profile, config=config_with(input_bits=bits, output_bits=bits))
    for more in (
        {"input_bits": bits + 1, "output_bits": bits},
        {"input_bits": bits, "output_bits": bits + 1},
    ):
        larger = cost(*layers, profile=profile, config=config_with(**more))
        assert all(a <= b * (1 + 1e-12) for a, b in zip(everything(less), everything(larger), strict=True))


@settings(max_examples=25, deadline=None)
@given(shapes=LAYERS, name=st.sampled_from(profile_names()))
def test_more_passes_cost_more(shapes, name):
    layers = [layer(str(i), (out, in_), count) for i, (out, in_, count) in enumerate(shapes)]
    profile = shipped_profile(name)
    once = cost(*layers, profile=profile, config=config_with())
    twice = cost(*layers, profile=profile, config=config_with(mv_type="PosNegSeparate"))
    assert all(a < b for a, b in zip(everything(once), everything(twice), strict=True))


@settings(max_examples=25, deadline=None)
@given(shapes=LAYERS, grown=st.integers(1, 300), name=st.sampled_from(profile_names()))
def test_larger_layers_and_more_tiles_never_cost_less(shapes, grown, name):
    profile = shipped_profile(name)
    out, in_, count = shapes[0]
    small = layer("fc", (out, in_), count)
    config = config_with()
    before = cost(small, profile=profile, config=config)
    for larger in ((out + grown, in_), (out, in_ + grown)):
        after = cost(layer("fc", larger, count), profile=profile, config=config)
        assert after.layers[0].tile_operations >= before.layers[0].tile_operations
        assert all(a <= b * (1 + 1e-12) for a, b in zip(everything(before), everything(after), strict=True))
    more = cost(layer("fc", (out, in_), count + grown), profile=profile, config=config)
    assert all(a < b for a, b in zip(everything(before), everything(more), strict=True))

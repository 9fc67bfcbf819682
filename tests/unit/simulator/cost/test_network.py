"""What a network asks of the hardware, from shapes alone."""

from __future__ import annotations

import pytest

from simulator.config import AnalogMVType, LayerRules, resolve
from simulator.cost import network_of, resolve_hardware, shipped_profile
from simulator.cost.network import misfit_warning
from tests.unit.simulator.cost.networks import layer, operation, report

PROFILE = shipped_profile("HERMES14nm")


def network(*layers, config=None, rules=None, profile=PROFILE, operations=()):
    return network_of(
        report(*layers, operations=operations), resolve(config or {}), rules or LayerRules(), profile
    )


def test_a_convolution_is_a_product_at_every_place():
    (found,) = network(layer("conv", (16, 8, 3, 3), 100, op="Conv2d")).analog
    assert (found.products, found.tile_count, found.inputs, found.outputs) == (100, 1, 72, 16)
    assert found.macs == 100 * 16 * 72


def test_each_group_of_a_convolution_has_tiles_of_its_own():
    (found,) = network(layer("depthwise", (32, 1, 3, 3), 49, op="Conv2d", groups=32)).analog
    assert (found.tile_count, found.products, found.inputs) == (32, 49, 32 * 9)
    assert found.macs == 49 * 32 * 9
    assert found.partial_sums == 0


def test_a_tall_matrix_leaves_partial_sums():
    (found,) = network(layer("fc", (10, 600)), config={"mapping": {"max_input_size": 256}}).analog
    assert (found.tile_count, found.tile_rows, found.partial_sums) == (3, 3, 20)


def test_an_analog_bias_is_one_more_input():
    config = {"mapping": {"digital_bias": False}}
    (found,) = network(layer("fc", (10, 256), bias=True), config=config, profile=PROFILE).analog
    assert found.tile_count == 2


def test_a_recurrent_layer_multiplies_every_matrix_in_every_step():
    matrices = [[48, 8], [48, 12], [48, 8], [48, 12]]
    (found,) = network(layer("lstm", (96, 8), 7, op="LSTM", matrices=matrices)).analog
    assert (found.products, found.tile_count) == (7, 4)
    assert found.macs == 7 * 2 * 48 * (8 + 12)
    assert found.operations == 3 * 96


def test_a_layer_that_is_kept_digital_costs_multiply_accumulates():
    found = network(layer("conv", (4, 2, 3, 3), 10, op="Conv2d"), rules=LayerRules(digital=("conv",)))
    assert found.analog == []
    (digital,) = found.digital
    assert (digital.macs, digital.read, digital.written) == (10 * 72, 10 * 18 + 72, 10 * 4)


def test_a_layers_own_configuration_decides_its_bits():
    rules = LayerRules.model_validate(
        {
            "overrides": [
                {"match": "b", "rpu_config": {"forward": {"inp_res": 1 / 16, "mv_type": "PosNegSeparate"}}}
            ]
        }
    )
    first, second = network(layer("a", (4, 4)), layer("b", (4, 4)), rules=rules).analog
    assert (first.input_bits, first.output_bits, first.mv_type) == (7, 9, AnalogMVType.ONE_PASS)
    assert (second.input_bits, second.mv_type) == (4, AnalogMVType.POS_NEG_SEPARATE)


@pytest.mark.parametrize(
    "forward", [{"is_perfect": True}, {"inp_res": -1, "out_res": -1}, {"inp_bound": "inf", "out_bound": 0}]
)
def test_converters_that_are_off_take_the_profiles_bits_and_say_so(forward):
    found = network(layer("fc", (4, 4)), config={"forward": forward})
    assert (found.analog[0].input_bits, found.analog[0].output_bits) == (8, 8)
    assert len([one for one in found.assumptions if "are off" in one]) == 2


def test_tiles_that_fit_the_arrays_are_counted_as_they_are():
    config = {"mapping": {"max_input_size": 64, "max_output_size": 64}}
    found = network(layer("fc", (128, 128)), config=config)
    assert found.analog[0].tile_count == 4
    assert misfit_warning(found, PROFILE) is None


def test_tiles_that_do_not_fit_are_split_anew_and_the_warning_says_what_aligns_them():
    profile = shipped_profile("NeuRRAM130nm")
    found = network(layer("small", (8, 8)), layer("big", (300, 300)), profile=profile)
    assert [one.tile_count for one in found.analog] == [1, 2 * 3]
    warning = misfit_warning(found, profile)
    assert warning is not None
    assert warning.code == "tiles_differ_from_hardware"
    override = '{"mapping": {"max_input_size": 128, "max_output_size": 256}}'
    assert override in warning.message
    aligned = {"mapping": {"max_input_size": 128, "max_output_size": 256}}
    assert network(layer("big", (300, 300)), config=aligned, profile=profile).misfits == []


def test_a_size_that_the_file_leaves_open_is_assumed_and_said():
    found = network(layer("fc", (4, 4), None))
    assert found.analog[0].products == 1
    assert "one product is counted for fc" in found.assumptions[0]


def test_operations_of_digital_layers_are_taken_from_the_report():
    relu = operation("Relu", operations=64, read=64, written=64, nodes=2)
    found = network(layer("fc", (4, 4)), operations=[relu])
    (digital,) = found.digital
    assert (digital.name, digital.operations, digital.nodes) == ("Relu", 64, 2)


def test_a_report_of_an_older_version_says_what_is_missing():
    old = {"layers": [layer("fc", (4, 4))]}
    found = network_of(old, resolve({}), LayerRules(), PROFILE)
    assert any("uploaded before" in one for one in found.assumptions)


def test_weights_over_several_columns_take_more_arrays():
    profile = resolve_hardware({"profile": "HERMES14nm", "overrides": {"array": {"columns_per_weight": 4}}})
    found = network(layer("fc", (256, 256)), profile=profile)
    assert found.analog[0].tile_count == 4

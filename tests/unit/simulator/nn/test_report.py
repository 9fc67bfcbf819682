from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from torch import nn

from simulator.config import InferenceRPUConfig
from simulator.nn import AnalogSequential, conversion_report, convert_to_analog
from simulator.tile import fast
from tests.unit.simulator.nn.configs import perfect


def report(config, **options):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(100, 10))
    return conversion_report(convert_to_analog(model, config, **options))


def test_layers_tiles_and_devices_are_counted():
    found = report(perfect(mapping={"max_input_size": 60, "max_output_size": 10}))
    assert [(layer.name, layer.kind, layer.weight_shape) for layer in found.layers] == [
        ("0", "AnalogConv2d", (8, 3, 3, 3)),
        ("2", "AnalogLinear", (10, 100)),
    ]
    assert [len(layer.tiles) for layer in found.layers] == [1, 2]
    assert found.tiles == 3
    assert found.devices == 2 * (8 * 27 + 10 * 100)


def test_utilisation_is_the_share_of_cells_with_weights():
    found = report(perfect(mapping={"max_input_size": 60, "max_output_size": 10}))
    assert [layer.utilisation for layer in found.layers] == pytest.approx([8 * 27 / 600, 1000 / 1200])
    assert found.utilisation == pytest.approx((8 * 27 + 1000) / 1800)


def test_unlimited_tiles_are_full():
    assert report(perfect(mapping={"max_input_size": 0, "max_output_size": 0})).utilisation == 1.0


STATIC = {"noise_management": "None", "bound_management": "None"}
RANGE = {"input_range": {"enable": True, "init_from_data": 0}}


@pytest.mark.parametrize(
    ("forward", "pre_post", "paths", "slowed_by"),
    [
        (STATIC, RANGE, ["one_step", "one_step"], ()),
        ({**STATIC, "ir_drop": 1.0}, RANGE, ["whole_maps", "rows"], ("IrDrop",)),
        (STATIC, {}, ["whole_maps", "rows"], ("no input range",)),
        ({}, RANGE, ["compiled_patches", "rows"], ("VectorScale", "Dac", "BoundManagement")),
        ({"noise_management": "Max"}, RANGE, ["patches", "rows"], ("VectorScale", "Dac", "BoundManagement")),
    ],
)
def test_each_layer_says_how_it_computes_and_what_keeps_it_from_one_step(forward, pre_post, paths, slowed_by):
    pytest.importorskip("numba")
    found = report(InferenceRPUConfig.model_validate({"forward": forward, "pre_post": pre_post}))
    assert [layer.path for layer in found.layers] == paths
    assert all(
        tile.slowed_by[: len(slowed_by)] == slowed_by for layer in found.layers for tile in layer.tiles
    )
    assert json.loads(json.dumps(asdict(found)))["layers"][0]["tiles"][0]["path"] == paths[0]


def test_without_compiled_loops_no_layer_runs_in_one_step():
    config = InferenceRPUConfig.model_validate({"forward": STATIC, "pre_post": RANGE})
    with fast.disabled():
        found = report(config)
    assert [layer.path for layer in found.layers] == ["whole_maps", "rows"]
    assert {tile.slowed_by for layer in found.layers for tile in layer.tiles} == {("no compiled loops",)}


def test_digital_layers_are_listed_under_their_present_names():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    wrapped = AnalogSequential(convert_to_analog(model, perfect(), digital=["1"]))
    assert conversion_report(wrapped).digital == {"0.1": "kept digital by name"}


def test_digital_model_has_an_empty_report():
    found = conversion_report(nn.Linear(2, 2))
    assert (found.layers, found.tiles, found.devices, found.utilisation) == ((), 0, 0, 1.0)

from __future__ import annotations

import pytest
import torch

from simulator.config import (
    CustomPairConductanceConverter,
    DualPairConductanceConverter,
    HermesNoiseModel,
    NPairConductanceConverter,
    PCMLikeNoiseModel,
    ReRamCMONoiseModel,
    ReRamWan2022NoiseModel,
    StateIndependentNoiseModel,
)
from simulator.config.mapping import MappingParameter
from simulator.config.tiling import split_evenly, tile_cells, weight_slots
from simulator.devices import build_noise_model

MODELS = [
    PCMLikeNoiseModel(),
    HermesNoiseModel(num_devices=1),
    HermesNoiseModel(num_devices=2),
    ReRamWan2022NoiseModel(),
    ReRamCMONoiseModel(),
    StateIndependentNoiseModel(),
    PCMLikeNoiseModel(g_converter=NPairConductanceConverter(f_lst=[1.0, 3.0, 2.0])),
    PCMLikeNoiseModel(g_converter=DualPairConductanceConverter(f_lst=[1.0, 2.0])),
    PCMLikeNoiseModel(
        g_converter=CustomPairConductanceConverter(f_lst=[1.0], g_lst=[[0.0, 25.0], [25.0, 0.0]], g_max=25.0)
    ),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.type)
def test_devices_are_counted_as_the_converter_makes_them(model) -> None:
    converter = build_noise_model(model).converter
    conductances, _ = converter.convert_to_conductances(torch.tensor([[-1.0, 1.0]]))
    assert model.devices_per_weight == len(conductances) * getattr(model, "num_devices", 1)


@pytest.mark.parametrize(
    ("size", "limit", "expected"), [(10, 4, [4, 3, 3]), (8, 4, [4, 4]), (3, 4, [3]), (9, 0, [9])]
)
def test_sizes_are_split_evenly(size: int, limit: int, expected: list[int]) -> None:
    assert [part.stop - part.start for part in split_evenly(size, limit)] == expected


def test_an_analog_bias_is_one_more_input() -> None:
    mapping = MappingParameter(digital_bias=False, max_input_size=10, max_output_size=4)
    slots = weight_slots((8, 10), 1, has_bias=True, mapping=mapping)
    assert [slot.shape for slot in slots] == [(4, 6), (4, 6), (4, 5), (4, 5)]
    assert sum(tile_cells(slot.shape, mapping) for slot in slots) == 4 * 40


def test_groups_have_tiles_of_their_own() -> None:
    slots = weight_slots((8, 3, 3, 3), 4, has_bias=False, mapping=MappingParameter())
    assert [slot.shape for slot in slots] == [(2, 27)] * 4

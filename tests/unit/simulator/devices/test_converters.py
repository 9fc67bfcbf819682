from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.config import (
    ConverterConfig,
    CustomPairConductanceConverter,
    DualPairConductanceConverter,
    FusionConductanceConverter,
    NPairConductanceConverter,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
)
from simulator.devices import build_converter

CONVERTERS = [
    SinglePairConductanceConverter(g_max=25.0),
    SinglePairConductanceConverter(g_max=20.0, g_min=3.0),
    DualPairConductanceConverter(f_lst=[1.0, 3.0], g_max=25.0),
    NPairConductanceConverter(f_lst=[1.0, 2.0, 4.0], g_max=25.0, g_min=1.0),
    CustomPairConductanceConverter(
        f_lst=[1.0], g_lst=[[2.0, 7.0, 12.0, 17.0, 22.0], [22.0, 17.0, 12.0, 7.0, 2.0]], g_max=22.0, g_min=2.0
    ),
    SingleDeviceConductanceConverter(),
]


def name(config: ConverterConfig) -> str:
    return f"{config.type}-{config.g_min:g}"


@pytest.mark.parametrize("config", [*CONVERTERS, FusionConductanceConverter()], ids=name)
@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=12),
)
def test_weights_come_back(config, values):
    converter = build_converter(config)
    weights = torch.tensor([values])
    back = converter.convert_back_to_weights(*converter.convert_to_conductances(weights))
    assert torch.allclose(back, weights, rtol=0, atol=2e-6 * float(weights.abs().max()) + 1e-12)


@pytest.mark.parametrize("config", [*CONVERTERS, FusionConductanceConverter()], ids=name)
def test_conductances_stay_in_range(config, weights):
    converter = build_converter(config)
    conductances, _ = converter.convert_to_conductances(weights)
    for g in conductances:
        assert float(g.min()) >= config.g_min - 1e-4
        assert float(g.max()) <= config.g_max + 1e-4


def test_single_pair_uses_one_device_of_the_pair(weights):
    converter = build_converter(SinglePairConductanceConverter(g_max=25.0))
    (plus, minus), params = converter.convert_to_conductances(weights)
    assert float((plus * minus).abs().max()) == 0.0
    assert float(params["scale_ratio"]) == pytest.approx(25.0 / 0.8)


def test_next_pair_is_used_when_the_one_before_is_exhausted():
    converter = build_converter(DualPairConductanceConverter(f_lst=[1.0, 3.0], g_max=25.0))
    weights = torch.tensor([[0.125, 0.25, 0.5, 1.0]])  # of a sum of 100 uS
    (plus1, _, plus2, _), _ = converter.convert_to_conductances(weights)
    assert plus1.tolist() == [[12.5, 25.0, 25.0, 25.0]]
    assert plus2.tolist() == [[0.0, 0.0, pytest.approx(25 / 3), 25.0]]


@pytest.mark.parametrize("value", [0.0, 0.3, -0.3])
def test_constant_weights_are_at_mid_range_of_a_single_device(value):
    converter = build_converter(SingleDeviceConductanceConverter(g_max=90.0, g_min=10.0))
    weights = torch.full((2, 3), value)
    conductances, params = converter.convert_to_conductances(weights)
    assert torch.allclose(conductances[0], torch.tensor(50.0))
    assert torch.allclose(converter.convert_back_to_weights(conductances, params), weights)


@pytest.mark.parametrize("config", [*CONVERTERS, FusionConductanceConverter()], ids=name)
def test_weights_are_left_alone(config, weights):
    before = weights.clone()
    build_converter(config).convert_to_conductances(weights)
    assert torch.equal(weights, before)


@pytest.mark.parametrize("config", CONVERTERS, ids=name)
def test_transposed_weights_convert_alike(config, weights):
    converter = build_converter(config)
    plain, _ = converter.convert_to_conductances(weights)
    transposed, _ = converter.convert_to_conductances(weights.T)
    assert all(torch.equal(a.T, b) for a, b in zip(plain, transposed, strict=True))


FUSION = FusionConductanceConverter()


def test_fusion_has_one_device_for_each_weight_and_a_scale_for_each_output():
    converter = build_converter(FUSION)
    weights = torch.tensor([[0.5, -0.25], [0.1, 0.0], [0.0, 0.0]])
    (g,), params = converter.convert_to_conductances(weights)
    assert g.tolist() == [[40.0, 20.0], [pytest.approx(40.0), 0.0], [0.0, 0.0]]
    assert converter.convert_back_to_weights([g], params).flatten().tolist() == pytest.approx(
        weights.flatten().tolist()
    )
    assert FUSION.devices_per_weight == 1


@pytest.mark.parametrize(
    ("read_us", "expected"),
    [
        ([20.0, 10.0], [0.5, -0.25]),  # half of both: what an output's devices have in common is taken out
        ([30.0, 20.0], [0.45, -0.3]),  # signed 30 and -20; slope (25 * 0.5 + 25 * 0.25) / 1250 = 0.015
    ],
)
def test_fusion_reads_an_output_by_the_line_that_fits_it_best(read_us, expected):
    converter = build_converter(FUSION)
    _, params = converter.convert_to_conductances(torch.tensor([[0.5, -0.25]]))
    back = converter.convert_back_to_weights([torch.tensor([read_us])], params)
    assert back.flatten().tolist() == pytest.approx(expected)


def test_fusion_without_a_line_takes_the_slope_of_the_conversion():
    converter = build_converter(FUSION)
    _, params = converter.convert_to_conductances(torch.tensor([[0.3]]))
    assert converter.convert_back_to_weights([torch.tensor([[20.0]])], params).item() == pytest.approx(0.15)


@pytest.mark.parametrize("outside", [{"g_max": 9.0}, {"g_max": 41.0}, {"g_min": 1.0}])
def test_fusion_refuses_what_the_chip_cannot_do(outside):
    with pytest.raises(ValidationError):
        FusionConductanceConverter(**outside)


def test_wrong_number_of_conductances_is_refused(weights):
    converter = build_converter(SinglePairConductanceConverter())
    conductances, params = converter.convert_to_conductances(weights)
    with pytest.raises(ValueError, match="expected 2 conductances"):
        converter.convert_back_to_weights(conductances[:1], params)

from __future__ import annotations

import math

import pytest
import torch

from simulator.config import MeasuredNoiseModel, PCMLikeNoiseModel, preset
from simulator.config.measured import PolynomialCurve, TableCurve
from simulator.devices import build_noise_model
from simulator.devices.curves import Curve, between_times, interpolate, polynomial
from simulator.rng import Purpose

G_US = torch.tensor([[0.0, 1e-9, 0.1, 1.0, 5.0, 12.5, 24.9, 25.0, 30.0]])


@pytest.mark.parametrize("t_s", [0.0, 1.0, 3600.0, 3.15e7])
def test_pcm_written_as_curves_is_pcm(t_s, weights, streams):
    published = build_noise_model(PCMLikeNoiseModel(g_max=25.0))
    measured = build_noise_model(preset("MeasuredPCMPreset").noise_model)
    expected, found = (streams.program(model, weights) for model in (published, measured))
    assert torch.allclose(found.weights_OI, expected.weights_OI, atol=1e-6)
    expected, found = (
        streams.drift(model, programmed, t_s)
        for model, programmed in ((published, expected), (measured, found))
    )
    assert torch.allclose(found, expected, atol=2e-6, rtol=2e-5)


def test_pcm_written_as_curves_has_the_published_read_noise():
    published = build_noise_model(PCMLikeNoiseModel(g_max=25.0))
    q = preset("MeasuredPCMPreset").noise_model.read.q
    assert torch.allclose(Curve(q, 25.0)(G_US), published.relative_read_noise(G_US), rtol=1e-5)


def test_linear_table_is_interpolated_and_held():
    curve = TableCurve(g=[1.0, 3.0, 5.0], value=[10.0, 20.0, 0.0])
    x = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.5, 5.0, 9.0]])
    assert Curve(curve, 25.0)(x).tolist() == [pytest.approx([10.0, 10.0, 15.0, 20.0, 5.0, 0.0, 0.0])]


def test_log_g_table_is_linear_in_ln_g():
    curve = TableCurve(g=[0.01, 1.0], value=[0.0, 2.0], interpolation="log_g", g_unit="relative")
    x = torch.tensor([[0.0, 0.25, 2.5, 25.0]])
    assert Curve(curve, 25.0)(x).tolist() == [pytest.approx([0.0, 0.0, 1.0, 2.0], abs=1e-6)]


def test_log_log_table_is_a_power_law():
    curve = TableCurve(g=[1.0, 100.0], value=[2.0, 2.0 * 100**0.3], interpolation="log_log")
    x = torch.tensor([[1.0, 10.0, 50.0]])
    assert torch.allclose(Curve(curve, 25.0)(x), 2.0 * x**0.3, rtol=1e-5)


@pytest.mark.parametrize(("unit", "factor"), [("uS", 1.0), ("relative", 25.0)])
def test_value_unit_of_a_conductance(unit, factor):
    curve = PolynomialCurve(coefficients=[0.5], value_unit=unit)
    assert Curve(curve, 25.0).in_us(G_US).unique().tolist() == [0.5 * factor]


@pytest.mark.parametrize(("unit", "scale"), [("uS", 1.0), ("relative", 25.0)])
def test_unit_of_the_conductance(unit, scale):
    curve = PolynomialCurve(coefficients=[1.0, 2.0, 3.0], g_unit=unit)
    g = G_US / scale
    assert torch.allclose(Curve(curve, 25.0)(G_US), 1 + 2 * g + 3 * g * g)


def test_polynomial_is_clipped():
    curve = PolynomialCurve(coefficients=[0.0, 1.0], minimum=0.5, maximum=2.0)
    assert Curve(curve, 25.0)(torch.tensor([[0.0, 1.0, 9.0]])).tolist() == [[0.5, 1.0, 2.0]]


def test_polynomial_of_order_zero_is_a_constant():
    assert polynomial(G_US, (0.3,)).unique().tolist() == [pytest.approx(0.3)]


def test_interpolation_accepts_any_layout():
    x = torch.rand(4, 5, generator=torch.Generator().manual_seed(0)).T
    assert interpolate(x, [0.0, 0.5, 1.0], [0.0, 0.5, 1.0]).shape == (5, 4)


@pytest.mark.parametrize(
    ("t_s", "expected"),
    [(0.0, (0, 0, 0.0)), (1.0, (0, 0, 0.0)), (10.0, (0, 1, 0.5)), (100.0, (1, 1, 0.0)), (1e9, (1, 1, 0.0))],
)
def test_neighbours_in_time(t_s, expected):
    assert between_times(t_s, [1.0, 100.0]) == pytest.approx(expected)


def constant(value: float) -> dict:
    return {"type": "polynomial", "coefficients": [value]}


def test_read_noise_may_be_given_per_time(streams):
    q = [{"t": 1.0, "curve": constant(0.01)}, {"t": 1e4, "curve": constant(0.03)}]
    config = MeasuredNoiseModel(read={"q": q, "time_law": "as_given"})
    model = build_noise_model(config)
    g_us = torch.full((1, 200_000), 20.0)
    for t_s, relative in ((0.0, 0.01), (1.0, 0.01), (100.0, 0.02), (1e6, 0.03)):
        read = model.drift_conductance(g_us, None, t_s, generator=streams(Purpose.READ, t_s))
        assert float(read.std()) == pytest.approx(20.0 * relative, rel=0.01)


def test_exponents_may_be_given_per_time_and_a_device_keeps_its_draw(weights, streams):
    mean = [{"t": 1.0, "curve": constant(0.05)}, {"t": 1e6, "curve": constant(0.10)}]
    config = MeasuredNoiseModel(drift={"nu_mean": mean, "nu_std": constant(0.01), "t_0": 20.0})
    model = build_noise_model(config)
    programmed = streams.program(model, weights)
    kept = weights.abs() > 0.1
    nu = {
        t: -torch.log(streams.drift(model, programmed, t) / weights)[kept] / math.log1p(t / 20.0)
        for t in (1e3, 1e6)
    }
    shift = nu[1e6] - nu[1e3]
    assert float(nu[1e6].std()) == pytest.approx(0.01, rel=0.1)
    assert torch.allclose(shift, torch.full_like(shift, 0.025), atol=1e-4)


def test_programming_alone_has_no_drift(weights, streams):
    model = build_noise_model(MeasuredNoiseModel(programming=constant(0.5)))
    programmed = streams.program(model, weights)
    assert torch.allclose(streams.drift(model, programmed, 3.15e7), programmed.weights_OI, atol=1e-6)
    scale = 25.0 / 0.8
    assert float((programmed.weights_OI - weights).std()) < 0.5 * math.sqrt(2) / scale

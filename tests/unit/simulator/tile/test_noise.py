from __future__ import annotations

import threading

import pytest
import torch
from scipy import stats

from simulator.config import IOParameters
from simulator.rng import Purpose, generator
from simulator.tile import InstanceParameters, compile_plan, draw_instance, noise

LARGE = torch.empty(3, 1 << 18)


def stream():
    return generator(1, Purpose.FORWARD, "test")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_large_draws_do_not_depend_on_the_number_of_threads(threads):
    threads(1)
    alone = noise.normal_like(LARGE, stream())
    threads(2)
    assert torch.equal(noise.normal_like(LARGE, stream()), alone)


def test_parts_of_a_large_draw_differ():
    values = noise.normal_like(LARGE, stream())
    assert not torch.equal(values[0], values[1])


def test_normal_draws_have_moments_of_a_normal():
    values = noise.normal_like(LARGE, stream())
    assert values.mean().item() == pytest.approx(0, abs=0.006)
    assert values.std().item() == pytest.approx(1, abs=0.005)


def test_normal_draws_follow_the_normal_distribution():
    values = noise.normal_like(torch.empty(1 << 20), stream()).numpy()
    assert stats.kstest(values, "norm").pvalue > 1e-4
    assert stats.kurtosis(values) == pytest.approx(0, abs=5 * (24 / values.size) ** 0.5)
    assert stats.skew(values) == pytest.approx(0, abs=5 * (6 / values.size) ** 0.5)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 1 << 16, 1 << 18])
def test_normal_draws_are_independent_of_their_neighbours(lag):
    values = noise.normal_like(LARGE, stream()).view(-1)
    correlation = (values[lag:] * values[:-lag]).mean().item()
    assert abs(correlation) < 5 / (values.numel() - lag) ** 0.5
    magnitudes = values.square() - 1
    assert abs((magnitudes[lag:] * magnitudes[:-lag]).mean().item()) < 10 / (values.numel() - lag) ** 0.5


def test_streams_are_independent():
    one, two = (noise.normal_like(LARGE, generator(1, Purpose.FORWARD, name)) for name in ("one", "two"))
    assert abs((one * two).mean().item()) < 5 / LARGE.numel() ** 0.5


@pytest.mark.parametrize("size", [100, 1 << 14])
def test_the_deviation_scales_the_same_draws(size):
    values = torch.empty(size)
    scaled = noise.normal_like(values, stream(), 0.3)
    assert torch.allclose(scaled, 0.3 * noise.normal_like(values, stream()), rtol=1e-6)


def test_dither_is_within_half_a_step():
    values = noise.dither_like(LARGE, stream())
    assert values.min().item() >= -0.5
    assert values.max().item() <= 0.5
    assert values.std().item() == pytest.approx(12**-0.5, rel=0.005)


def test_draws_in_inference_mode_serve_inference_mode(threads):
    threads(2)
    with torch.inference_mode():
        noise.normal_like(LARGE, stream()).mul_(2.0)


def test_a_thread_of_its_own_may_draw(threads):
    threads(2)
    results = []
    thread = threading.Thread(target=lambda: results.append(noise.normal_like(LARGE, stream())))
    thread.start()
    thread.join()
    assert torch.equal(results[0], noise.normal_like(LARGE, stream()))


def test_no_stream_is_an_error():
    with pytest.raises(ValueError, match="stream"):
        noise.normal_like(torch.empty(3), None)


SPREAD = {
    "v_offset_std": 0.1,
    "out_nonlinearity": 0.5,
    "out_nonlinearity_std": 0.3,
    "out_noise": 0.1,
    "out_noise_std": 0.3,
    "mv_type": "PosNegSeparate",
    "w_read_asymmetry_dtod": 0.1,
}


def drawn(**forward):
    plan = compile_plan(IOParameters(**forward))
    return draw_instance(plan, 1000, 2, generator(1, Purpose.INSTANCE, "test"))


def test_without_spread_there_are_no_parameters():
    assert drawn() == InstanceParameters()


def test_every_parameter_is_drawn_per_output_or_device():
    instance = drawn(**SPREAD)
    assert instance.voltage_offset.shape == instance.nonlinearity.shape == instance.out_noise.shape == (1000,)
    assert instance.read_asymmetry.shape == (1000, 2)


def test_offsets_nonlinearities_and_noise_levels_are_not_negative():
    instance = drawn(**(SPREAD | {"out_nonlinearity_std": 3.0, "out_noise_std": 3.0}))
    for values in (instance.voltage_offset, instance.nonlinearity, instance.out_noise):
        assert (values >= 0).all()


def test_half_of_the_offsets_are_zero():
    share = (drawn(**SPREAD).voltage_offset == 0).float().mean()
    torch.testing.assert_close(share, torch.tensor(0.5), rtol=0, atol=0.06)


def test_read_asymmetry_needs_separate_passes():
    assert drawn(**(SPREAD | {"mv_type": "OnePass"})).read_asymmetry is None

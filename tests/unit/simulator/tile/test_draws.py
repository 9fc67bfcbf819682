from __future__ import annotations

import threading

import pytest
import torch

from simulator.rng import Purpose, generator
from simulator.tile import draws

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
    alone = draws.normal_like(LARGE, stream())
    threads(2)
    assert torch.equal(draws.normal_like(LARGE, stream()), alone)


def test_parts_of_a_large_draw_differ():
    values = draws.normal_like(LARGE, stream())
    assert not torch.equal(values[0], values[1])


def test_normal_draws_have_moments_of_a_normal():
    values = draws.normal_like(LARGE, stream())
    assert values.mean().item() == pytest.approx(0, abs=0.006)
    assert values.std().item() == pytest.approx(1, abs=0.005)


def test_dither_is_within_half_a_step():
    values = draws.dither_like(LARGE, stream())
    assert values.min().item() >= -0.5
    assert values.max().item() <= 0.5
    assert values.std().item() == pytest.approx(12**-0.5, rel=0.005)


def test_draws_in_inference_mode_serve_inference_mode(threads):
    threads(2)
    with torch.inference_mode():
        draws.normal_like(LARGE, stream()).mul_(2.0)


def test_a_thread_of_its_own_may_draw(threads):
    threads(2)
    results = []
    thread = threading.Thread(target=lambda: results.append(draws.normal_like(LARGE, stream())))
    thread.start()
    thread.join()
    assert torch.equal(results[0], draws.normal_like(LARGE, stream()))


def test_no_stream_is_an_error():
    with pytest.raises(ValueError, match="stream"):
        draws.normal_like(torch.empty(3), None)

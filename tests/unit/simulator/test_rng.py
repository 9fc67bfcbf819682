from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from scipy import stats

from simulator.rng import (
    NoiseContext,
    Purpose,
    Randomness,
    Stream,
    as_default,
    digest,
    generator,
    opened,
)

TILE = ("conv1", 0, 1)


def numbers(source: Randomness, count: int = 4) -> tuple[float, ...]:
    return tuple(torch.randn(count, generator=opened(source)).tolist())


# --- keys --------------------------------------------------------------------------------------------------


def test_equal_keys_give_equal_numbers():
    assert numbers(generator(1, Purpose.READ, "a", 2, 3.0)) == numbers(
        generator(1, Purpose.READ, "a", 2, 3.0)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a",), ("b",)),
        (("ab", "c"), ("a", "bc")),
        (("a", ""), ("", "a")),
        ((1,), (1.0,)),
        ((1,), ("1",)),
        ((None,), (0,)),
        ((None,), ("",)),
        ((), (None,)),
        ((-1,), (1,)),
        ((1, 23), (12, 3)),
        ((2**80,), (2**80 + 1,)),
        ((1.0,), (math.nextafter(1.0, 2.0),)),
        ((0.0,), (-0.0,)),
    ],
)
def test_keys_that_differ_in_type_length_or_value_are_different_streams(one, other):
    assert digest(one) != digest(other)
    assert numbers(generator(1, Purpose.READ, *one)) != numbers(generator(1, Purpose.READ, *other))


def test_a_truth_value_is_not_a_key():
    with pytest.raises(TypeError, match="not a bool"):
        generator(1, Purpose.READ, True)  # noqa: FBT003 - what is refused


def test_every_purpose_is_a_stream_of_its_own():
    found = {numbers(generator(1, purpose, *TILE, 0)) for purpose in Purpose}
    assert len(found) == len(Purpose)


def test_20_000_streams_are_pairwise_different():
    """Coordinates as evaluation has them; a generator that keeps 32 bits of its seed would repeat itself."""
    keys = product(
        range(2), (Purpose.FORWARD, Purpose.READ), ("fc1", "fc2"), range(25), (1.0, 86400.0), range(50)
    )
    firsts = set()
    count = 0
    for seed, purpose, layer, repeat, t_s, batch in keys:
        stream = generator(seed, purpose, layer, 0, 0, repeat, t_s, batch)
        firsts.add(tuple(torch.randint(2**62, (2,), generator=stream).tolist()))
        count += 1
    assert count == 20_000
    assert len(firsts) == count


def test_first_numbers_of_neighbouring_streams_are_independent():
    """Across streams the first draws are uniform, and uncorrelated with those of the next stream."""
    firsts = torch.cat(
        [torch.rand(1, generator=generator(3, Purpose.FORWARD, batch)) for batch in range(4000)]
    )
    assert stats.kstest(firsts.numpy(), "uniform").pvalue > 1e-3
    correlation = torch.corrcoef(torch.stack([firsts[:-1], firsts[1:]]))[0, 1]
    assert abs(float(correlation)) < 4 / math.sqrt(4000)


def test_normals_are_normal():
    drawn = torch.randn(200_000, generator=generator(11, Purpose.PROGRAMMING, *TILE, 0), dtype=torch.float64)
    n = len(drawn)
    assert abs(float(drawn.mean())) < 5 / math.sqrt(n)
    assert float(drawn.std()) == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    assert abs(float(drawn.pow(3).mean())) < 5 * math.sqrt(15 / n)
    assert float(drawn.pow(4).mean()) == pytest.approx(3, abs=5 * math.sqrt(96 / n))
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 1e-3


def test_a_stream_is_a_known_one():
    """The numbers are part of what results mean: a change here changes every published result."""
    assert torch.randint(2**31, (3,), generator=generator(0, Purpose.READ, "fc", 0, 0, 1, 60.0)).tolist() == [
        1080631439,
        1316014397,
        775858313,
    ]


# --- the global generator ----------------------------------------------------------------------------------


def test_the_global_generator_is_the_stream_for_a_while():
    with as_default(1, Purpose.DROPOUT, 2, 3):
        found = torch.randn(4)
    assert tuple(found.tolist()) == numbers(generator(1, Purpose.DROPOUT, 2, 3))


def test_the_global_generator_is_restored():
    before = torch.get_rng_state()
    with as_default(1, Purpose.DROPOUT):
        torch.randn(4)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_is_restored_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), as_default(1, Purpose.DROPOUT):
        torch.randn(4)
        raise RuntimeError
    assert torch.equal(torch.get_rng_state(), before)


# --- where a simulation is ---------------------------------------------------------------------------------


def streams(context: NoiseContext) -> dict[str, tuple[float, ...]]:
    return {
        "instance": numbers(context.instance_stream(Purpose.PROGRAMMING, TILE)),
        "programming": numbers(context.programming_stream(Purpose.PROGRAMMING, TILE)),
        "read": numbers(context.read_stream(Purpose.READ, TILE)),
        "call": numbers(context.call_stream(Purpose.FORWARD, TILE)),
    }


AT = {"repeat": 1, "t_inference_s": 60.0, "epoch": 2, "batch": 3}


@pytest.mark.parametrize(
    ("moved", "changes"),
    [
        ({"repeat": 2}, {"instance", "programming", "read", "call"}),
        ({"programming": 1}, {"programming", "read", "call"}),
        ({"t_inference_s": 61.0}, {"read", "call"}),
        ({"epoch": 4}, {"call"}),
        ({"batch": 4}, {"call"}),
    ],
)
def test_each_stream_depends_on_its_coordinates_alone(moved, changes):
    context = NoiseContext(seed=1)
    context.move(**AT)
    before = streams(context)
    context.move(**{**AT, **moved})
    after = streams(context)
    assert {name for name in before if before[name] != after[name]} == changes


def test_the_first_programming_has_the_stream_of_its_chip():
    context = NoiseContext(seed=1)
    found = streams(context)
    assert found["programming"] == found["instance"]


def test_a_service_has_calls_of_its_own():
    context = NoiseContext(seed=1)
    before = streams(context)
    context.move()
    context.service = ("refresh_batch_norm", 0, 60.0)
    after = streams(context)
    assert {name for name in before if before[name] != after[name]} == {"call"}


def test_the_seed_and_the_tile_are_in_every_stream():
    one, other = NoiseContext(seed=1), NoiseContext(seed=2)
    assert all(streams(one)[name] != streams(other)[name] for name in streams(one))
    instance = NoiseContext().instance_stream
    tiles = [("a", 0, 0), ("a", 0, 1), ("a", 1, 0), ("b", 0, 0)]
    assert len({numbers(instance(Purpose.READ, tile)) for tile in tiles}) == len(tiles)


def test_calls_are_counted_per_tile_and_purpose_and_start_anew_when_the_context_moves():
    context = NoiseContext()
    first, second = (numbers(context.call_stream(Purpose.FORWARD, TILE)) for _ in range(2))
    assert first != second
    context.call_stream(Purpose.MODIFIER, TILE)
    context.call_stream(Purpose.FORWARD, ("other", 0, 0))
    context.at_batch(0)
    context.move()
    assert [numbers(context.call_stream(Purpose.FORWARD, TILE)) for _ in range(2)] == [first, second]


def test_a_time_is_a_float_however_it_is_written():
    one, other = NoiseContext(), NoiseContext()
    one.move(t_inference_s=60)
    other.move(t_inference_s=60.0)
    assert streams(one) == streams(other)


# --- streams that are not opened ---------------------------------------------------------------------------


def forward_stream(batch: int = 0) -> Stream:
    context = NoiseContext(seed=1)
    context.move(batch=batch)
    return context.call_stream(Purpose.FORWARD, TILE)


def test_seeds_of_sources_follow_from_the_key_and_the_draw():
    one, again, other = forward_stream(), forward_stream(), forward_stream(batch=1)
    first, second = one.source_seeds(3), one.source_seeds(3)
    assert first.shape == (3, 3)
    assert len({*first.flatten().tolist(), *second.flatten().tolist()}) == 18
    assert (again.source_seeds(3) == first).all()
    assert (again.source_seeds(3) == second).all()
    assert not set(first.flatten().tolist()) & set(other.source_seeds(3).flatten().tolist())
    assert one.source_seeds(0).shape == (0, 3)


def test_a_stream_opens_once_and_its_sources_do_not_depend_on_that():
    stream, unopened = forward_stream(), forward_stream()
    assert stream.open() is opened(stream)
    numbers(stream)
    assert (stream.source_seeds(2) == unopened.source_seeds(2)).all()
    key = (Purpose.FORWARD, *TILE, 0, 0, None, None, 0)
    assert numbers(forward_stream()) == numbers(generator(1, *key))

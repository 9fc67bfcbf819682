"""Lifetimes of synthetic chips, whose law is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from app.results.cells import Cells
from app.results.lifetime import Censored, Life, crossing, lives, median_of
from simulator.config.tasks import Task

TOTAL = 1_000_000
TIMES_S = (1.0, 60.0, 3600.0, 86400.0, 2592000.0, 31536000.0)


def cells_of(
    accuracy: Callable[[int, float], float], chips: int, times_s: Sequence[float] = TIMES_S
) -> Cells:
    """Cells of chips whose accuracy follows a law."""
    return Cells.of(
        [
            (
                "direct",
                chip,
                t,
                {"correct": round(TOTAL * accuracy(chip, t)), "total": TOTAL, "loss_sum": 1.0},
            )
            for t in times_s
            for chip in range(chips)
        ]
    )


def life_of(accuracy: Callable[[int, float], float], chips: int, threshold: float) -> Life:
    (found,) = lives(Task.CLASSIFICATION, cells_of(accuracy, chips), threshold)
    return found


def test_an_accuracy_that_falls_with_the_logarithm_of_time_crosses_where_its_law_says() -> None:
    slopes = np.linspace(0.002, 0.01, 25)
    found = life_of(lambda chip, t: 0.98 - slopes[chip] * math.log(t), 25, 0.95)
    expected = np.exp(0.03 / slopes)
    for chip in found.chips:
        if expected[chip.repeat] > TIMES_S[-1]:
            assert (chip.time_s, chip.censored) == (None, Censored.ABOVE)
        else:
            assert chip.time_s == pytest.approx(expected[chip.repeat], rel=1e-2)
    median = found.time_to_threshold_s
    assert median.median == pytest.approx(np.median(expected), rel=1e-2)
    assert median.censored is Censored.NONE
    low, high = median.ci95 or (None, None)  # the 8th from both ends of 25
    assert low == pytest.approx(np.sort(expected)[7], rel=1e-2)
    assert high == pytest.approx(np.sort(expected)[17], rel=1e-2)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    draws = np.random.Generator(np.random.Philox(3)).lognormal(10.0, 2.0, (2000, 25))
    covered = 0
    for sample in draws:
        found = median_of([crossing(n, (0.0, 2 * t), (1.0, -1.0), 0.0) for n, t in enumerate(sample)])
        low, high = found.ci95 or (None, None)
        assert low is not None
        assert high is not None
        covered += low <= math.exp(10.0) <= high
    assert 0.945 < covered / len(draws) < 0.97  # 0.957 by the binomial law


def test_a_segment_from_the_moment_of_programming_is_linear_in_time() -> None:
    found = crossing(0, (0.0, 100.0), (1.0, 0.0), 0.75)
    assert found.time_s == pytest.approx(25.0)


def test_the_first_crossing_counts_even_if_the_chip_comes_back() -> None:
    found = crossing(0, (1.0, 10.0, 100.0), (1.0, 0.8, 1.0), 0.9)
    assert found.time_s == pytest.approx(10**0.5)


@pytest.mark.parametrize(
    ("curve", "censored"),
    [((0.96, 0.95), Censored.ABOVE), ((0.94, 0.99), Censored.BELOW)],
    ids=["still good at the last time", "bad at the first"],
)
def test_what_the_evaluated_times_leave_open_is_said(curve: tuple[float, float], censored: Censored) -> None:
    found = crossing(0, (1.0, 10.0), curve, 0.95)
    assert (found.time_s, found.censored) == (None, censored)


def test_an_end_of_the_interval_that_is_censored_is_absent() -> None:
    below = [crossing(n, (1.0, 10.0), (0.0, 0.0), 0.5) for n in range(3)]
    within = [crossing(n, (1.0, 10.0), (1.0, 0.0), 0.5) for n in range(3, 7)]
    above = [crossing(n, (1.0, 10.0), (1.0, 1.0), 0.5) for n in range(7, 10)]
    found = median_of([*above, *below, *within])
    assert found.median == pytest.approx(10**0.5)
    assert found.ci95 == (None, None)
    assert median_of(above).censored is Censored.ABOVE
    assert median_of(below).censored is Censored.BELOW
    assert median_of([*above, *within[:3], within[3]]).ci95 is not None


def test_five_chips_give_no_interval_and_six_do() -> None:
    chips = [crossing(n, (1.0, 10.0), (1.0, 0.0), 0.5) for n in range(6)]
    assert median_of(chips[:5]).ci95 is None
    assert median_of(chips).ci95 is not None


def test_the_share_of_chips_between_evaluated_times_follows_from_their_crossings() -> None:
    slopes = np.linspace(0.001, 0.02, 40)
    found = life_of(lambda chip, t: 0.98 - slopes[chip] * math.log(t), 40, 0.95)
    assert {point.t_inference for point in found.yield_} > set(TIMES_S)
    for point in found.yield_:
        holding = (0.98 - slopes * math.log(point.t_inference) >= 0.95).sum()
        assert abs(point.share * 40 - holding) <= 1
        assert point.ci95[0] <= point.share <= point.ci95[1]
    assert found.yield_[0].share == 1.0


def test_95_percent_hold_until_the_second_of_twenty_has_fallen() -> None:
    slopes = np.linspace(0.002, 0.01, 20)
    found = life_of(lambda chip, t: 0.98 - slopes[chip] * math.log(t), 20, 0.95)
    assert found.holds_95_percent_until_s == pytest.approx(math.exp(0.03 / slopes[-2]), rel=1e-2)
    assert found.reason is None


def test_fewer_than_twenty_chips_say_nothing_of_95_percent() -> None:
    found = life_of(lambda _, t: 0.98 - 0.01 * math.log(t), 19, 0.95)
    assert found.holds_95_percent_until_s is None
    assert "20" in (found.reason or "")


def test_chips_that_all_hold_are_a_lower_bound() -> None:
    found = life_of(lambda _, __: 0.98, 20, 0.95)
    assert found.holds_95_percent_until_s == TIMES_S[-1]
    assert "still hold" in (found.reason or "")


def test_chips_that_are_not_evaluated_at_all_times_yet_are_left_out() -> None:
    rows = [
        ("direct", chip, t, {"correct": 9, "total": 10, "loss_sum": 1.0})
        for chip, times in ((0, TIMES_S), (1, TIMES_S[:2]), (2, TIMES_S))
        for t in times
    ]
    (found,) = lives(Task.CLASSIFICATION, Cells.of(rows), 0.5)
    assert [chip.repeat for chip in found.chips] == [0, 2]


def test_an_error_holds_while_it_is_small_and_one_that_is_not_finite_does_not() -> None:
    rows = [
        ("hwa", chip, t, {"total": 10, "loss_sum": loss})
        for chip, losses in ((0, (1.0, 2.0)), (1, (1.0, None)))
        for t, loss in zip((1.0, 100.0), losses, strict=True)
    ]
    (found,) = lives(Task.REGRESSION, Cells.of(rows), 0.15)
    assert found.chips[0].time_s == pytest.approx(10.0)
    assert found.chips[1].time_s == pytest.approx(1.0)


def test_nothing_evaluated_is_no_life() -> None:
    assert lives(Task.CLASSIFICATION, Cells.of([]), 0.5) == []

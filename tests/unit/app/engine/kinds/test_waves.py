"""When a job in waves of chips has enough, and how often its last interval misses the mean."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from app.engine.kinds.inference.waves import factor, half_width, next_wave, widest
from simulator.config.evaluation import RepeatsUntil

RUNS = 2000


def until(width: float, **changes: object) -> RepeatsUntil:
    return RepeatsUntil.model_validate({"until_ci95": width, **changes})


@pytest.mark.parametrize(
    ("fewest", "most", "waves"),
    [
        (10, 400, (10, 20, 40, 80, 160, 320, 400)),
        (10, 40, (10, 20, 40)),
        (10, 11, (10, 11)),
        (5, 5, (5,)),
    ],
)
def test_waves_double_the_chips_up_to_the_most(fewest: int, most: int, waves: tuple[int, ...]) -> None:
    assert until(0.1, at_least=fewest, at_most=most).waves == waves


def test_one_wave_has_students_interval_and_more_share_its_error() -> None:
    assert factor(10, 1) == pytest.approx(stats.t.ppf(0.975, 9))
    assert factor(10, 7) == pytest.approx(stats.t.ppf(1 - 0.05 / 14, 9))
    assert half_width(0.3, 9, until(0.1, at_least=9, at_most=9)) == pytest.approx(factor(9, 1) * 0.1)


def test_nothing_is_said_within_a_wave() -> None:
    assert half_width(0.3, 15, until(0.1)) is None


def test_the_widest_place_decides_unless_one_is_named() -> None:
    narrow, wide = [0.9, 0.902] * 5, [0.8, 0.9] * 5
    metrics = {("direct", 1.0): narrow, ("hwa", 60.0): wide}
    known = until(0.01)
    assert next_wave(known, metrics, 10) == range(10, 20)
    assert widest(known, metrics) == half_width(float(np.std(wide, ddof=1)), 10, known)
    on = {"variant": "direct", "t_inference": 1.0}
    assert next_wave(until(0.01, on=on), metrics, 10) == range(0)


def test_no_wave_follows_the_last_one() -> None:
    assert next_wave(until(1e-9, at_most=10), {("direct", 1.0): [0.1, 0.9] * 5}, 10) == range(0)


@pytest.mark.parametrize("value", [None, float("inf"), float("nan")])
def test_what_no_further_chip_makes_finite_ends_the_job(value: float | None) -> None:
    assert next_wave(until(0.001), {("direct", 1.0): [0.1, 0.9] * 4 + [0.5, value]}, 10) == range(0)


def _gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.normal(0.9, 0.02, shape)


def _skewed(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Accuracies with a tail of bad chips; the skewness is -1.4."""
    return 0.93 - 0.01 * rng.gamma(2.0, 1.0, shape)


def _exponential(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Skewness -2."""
    return 0.93 - 0.02 * rng.exponential(1.0, shape)


@pytest.mark.parametrize("width", [0.02, 0.01, 0.006, 0.004])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [(_gaussian, 0.9), (_skewed, 0.91), (_exponential, 0.91)],
    ids=["gaussian", "skewed", "exponential"],
)
def test_the_last_interval_covers_the_mean(draw: object, mean: float, width: float) -> None:
    assert callable(draw)
    known = until(width)
    chips: NDArray[np.float64] = draw(np.random.default_rng(18), (RUNS, known.at_most))
    ended = np.zeros(RUNS, dtype=int)
    covered = np.zeros(RUNS, dtype=bool)
    for total in known.waves:
        means = chips[:, :total].mean(axis=1)
        halves = factor(total, len(known.waves)) * chips[:, :total].std(axis=1, ddof=1) / np.sqrt(total)
        stops = (ended == 0) & ((halves <= width) | (total == known.at_most))
        covered[stops] = (np.abs(means - mean) <= halves)[stops]
        ended[stops] = total
    assert covered.mean() >= 0.94
    for run in range(20):  # the rule itself ends where the table above does
        total = known.at_least
        while more := next_wave(known, {("direct", 1.0): chips[run, :total].tolist()}, total):
            total = more.stop
        assert total == ended[run]

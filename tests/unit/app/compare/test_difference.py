from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from app.compare.schemas import Difference
from app.compare.service import Chips
from app.compare.service import difference as difference_of
from simulator.config.evaluation import RepeatsUntil

RNG = np.random.default_rng(3)
FIRST = dict(enumerate(0.9 + 0.02 * RNG.standard_normal(8)))
OTHER = {chip: value + 0.01 + 0.001 * RNG.standard_normal() for chip, value in FIRST.items()}


def chips(values: dict[int, float]) -> Chips:
    return np.array(sorted(values), dtype=float), np.array([values[chip] for chip in sorted(values)])


def difference(job: str, first: dict[int, float], other: dict[int, float], *, paired: bool) -> Difference:
    return difference_of(job, chips(first), chips(other), paired=paired)


def test_equal_seeds_are_paired_by_chip() -> None:
    found = difference("b", FIRST, OTHER, paired=True)
    expected = stats.ttest_rel(list(OTHER.values()), list(FIRST.values())).confidence_interval(0.95)
    assert (found.method, found.pairs) == ("paired", 8)
    assert found.ci95 == pytest.approx((expected.low, expected.high))


def test_only_chips_that_both_have_are_paired() -> None:
    found = difference("b", FIRST, {chip: OTHER[chip] for chip in (0, 3, 5)}, paired=True)
    assert found.pairs == 3
    assert found.mean == pytest.approx(np.mean([OTHER[chip] - FIRST[chip] for chip in (0, 3, 5)]))


def test_other_seeds_are_compared_by_welchs_interval() -> None:
    other = {chip: OTHER[chip] for chip in (0, 3, 5)}
    found = difference("b", FIRST, other, paired=False)
    test = stats.ttest_ind(list(other.values()), list(FIRST.values()), equal_var=False)
    expected = test.confidence_interval(0.95)
    assert (found.method, found.pairs) == ("welch", None)
    assert found.ci95 == pytest.approx((expected.low, expected.high))


def test_the_interval_of_chips_in_waves_allows_for_every_number_at_which_both_jobs_may_have_stopped() -> None:
    until = RepeatsUntil(until_ci95=0.01, at_least=2, at_most=8)  # after 2, 4 or 8 chips
    few = {chip: OTHER[chip] for chip in (0, 1, 2, 3)}

    def found(other: dict[int, float], *, paired: bool, both: bool = False) -> Difference:
        waves = (until if both else None, until)
        return difference_of("b", chips(FIRST), chips(other), paired=paired, until=waves)

    test = stats.ttest_rel(list(few.values()), [FIRST[chip] for chip in few])
    expected = test.confidence_interval(1 - 0.05 / 3)
    assert found(few, paired=True).ci95_adaptive == pytest.approx((expected.low, expected.high))
    assert found(few, paired=True, both=True).ci95_adaptive == pytest.approx((expected.low, expected.high))
    assert found(few, paired=True).ci95 == difference("b", FIRST, few, paired=True).ci95

    test = stats.ttest_ind(list(few.values()), list(FIRST.values()), equal_var=False)
    expected = test.confidence_interval(1 - 0.05 / 9)
    assert found(few, paired=False, both=True).ci95_adaptive == pytest.approx((expected.low, expected.high))

    within = {chip: OTHER[chip] for chip in (0, 1, 2)}
    assert found(within, paired=True).ci95_adaptive is None
    assert difference("b", FIRST, few, paired=True).ci95_adaptive is None


def test_pairing_narrows_the_interval() -> None:
    def width(paired: bool) -> float:
        low, high = difference("b", FIRST, OTHER, paired=paired).ci95 or (0.0, 0.0)
        return high - low

    assert width(paired=True) < width(paired=False) / 3


def test_one_chip_has_a_difference_and_no_interval() -> None:
    found = difference("b", {0: 0.9}, {0: 0.8}, paired=True)
    assert found.mean == pytest.approx(-0.1)
    assert found.ci95 is None


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("first", [{0: 0.9, 1: 0.8}, {0: math.inf, 1: 0.8}, {0: math.inf, 1: math.inf}])
def test_a_chip_that_diverged_leaves_no_difference(first: dict[int, float], *, paired: bool) -> None:
    found = difference("b", first, {0: math.inf, 1: 0.8}, paired=paired)
    assert (found.mean, found.ci95) == (None, None)

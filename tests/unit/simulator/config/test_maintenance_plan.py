"""How far apart services may be: the grid, when chips are judged, and the bisection."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.config.analyses.maintenance_plan import (
    GRID,
    MOST_JUDGED,
    CensoredInterval,
    MaintenancePlan,
    Search,
    holding,
    intervals_s,
    judged_s,
    searched,
    setting_of,
)
from simulator.config.maintenance import ServiceKind
from simulator.config.services import planned
from simulator.config.tasks import Metric

YEAR_S = 31536000.0
HORIZONS = st.floats(3601.0, 1e12)


@given(HORIZONS)
def test_the_grid_goes_from_an_hour_to_the_horizon_evenly_in_the_logarithm(horizon_s):
    grid = intervals_s(horizon_s)
    assert (len(grid), grid[0], grid[-1]) == (GRID, 3600.0, horizon_s)
    ratios = [later / earlier for earlier, later in pairwise(grid)]
    assert ratios == pytest.approx([(horizon_s / 3600) ** (1 / (GRID - 1))] * (GRID - 1), rel=1e-9)


@given(HORIZONS, st.integers(0, GRID - 1))
def test_chips_are_judged_before_the_first_and_the_last_service_and_at_the_end(horizon_s, number):
    interval_s = intervals_s(horizon_s)[number]
    times = judged_s(interval_s, horizon_s)
    assert times == sorted(set(times))
    assert len(times) <= MOST_JUDGED + 1
    assert times[0] == math.nextafter(interval_s, 0)
    assert horizon_s - times[-1] <= math.ulp(horizon_s)
    last = [t for t in times if t < horizon_s][-1]
    assert horizon_s - last <= interval_s * (1 + 1e-9)


@given(HORIZONS, st.integers(0, GRID - 1), st.sampled_from(ServiceKind))
def test_a_chip_is_judged_when_the_service_before_is_as_long_ago_as_it_can_be(horizon_s, number, kind):
    interval_s = intervals_s(horizon_s)[number]
    coordinates = setting_of(kind, interval_s, horizon_s, 512).coordinates
    schedule, times = MaintenancePlan().course_of(coordinates)
    for visit in planned(schedule, times)[:-1]:
        services = [one.time_s for one in visit.services] or [0.0]
        assert visit.time_s - max(services) == pytest.approx(interval_s, rel=1e-6)


@given(st.integers(-1, GRID - 1))
def test_bisection_finds_the_longest_interval_in_five_rounds(longest):
    shares: dict[int, float] = {}
    rounds = 0
    while not (search := searched(shares, 0.95)).is_over:
        assert search.next not in shares
        shares[search.next] = 0.95 if search.next <= longest else 0.9
        rounds += 1
    assert rounds <= 5
    assert search.holds == longest
    censored = {-1: CensoredInterval.BELOW, GRID - 1: CensoredInterval.ABOVE}
    assert search.censored is censored.get(longest, CensoredInterval.NONE)


def test_a_search_follows_its_own_path_whatever_else_is_known():
    assert searched({3: 1.0, 17: 0.0}, 0.95) == Search()
    first = Search().next
    assert searched({first: 1.0, first - 1: 0.0}, 0.95).holds == first


def test_a_chip_whose_metric_is_not_finite_does_not_hold():
    assert holding([0.95, 0.94, None, 1.0], Metric.ACCURACY, 0.95) == 2
    assert holding([0.95, 0.94, None, 1.0], Metric.MSE, 0.95) == 2


def test_settings_are_named_by_what_decides_their_numbers():
    def name(kind=ServiceKind.COMPENSATE, interval_s=7200.0, horizon_s=YEAR_S, samples=512):
        return setting_of(kind, interval_s, horizon_s, samples).key

    refresh = ServiceKind.REFRESH_BATCH_NORM
    assert name(samples=64) == name()
    names = {
        name(),
        name(refresh),
        name(refresh, samples=64),
        name(interval_s=7201.0),
        name(horizon_s=2 * YEAR_S),
    }
    assert len(names) == 5
    assert all(len(one) <= 64 for one in names)

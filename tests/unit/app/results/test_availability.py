"""Chips in service as they are at a time: synthetic chips under a schedule, whose law is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from app.results.availability import Done
from app.results.downtimes import Downtime, Fleet, downtimes
from app.results.lifetime import Life, lives
from simulator.config.maintenance import MaintenanceRule, ServiceKind
from simulator.config.tasks import Task
from tests.unit.app.results.test_lifetime import TIMES_S, cells_of

DAY_S = 86400.0
DAILY = (MaintenanceRule(every=DAY_S, do=(ServiceKind.COMPENSATE,)),)
SLOPES = np.linspace(0.001, 0.004, 40)  # 0.03 are lost after exp(0.03 / slope) seconds
AROUND_SERVICES_S = (1.0, DAY_S - 1, DAY_S, 2 * DAY_S - 1, 2 * DAY_S, 2.5 * DAY_S)


def served(chip: int, t: float) -> float:
    """The accuracy of a chip that a service of each day makes as good as new."""
    return 0.98 - SLOPES[chip] * math.log(max(t % DAY_S, 1.0))


def life_of(times_s: Sequence[float], schedule: tuple[MaintenanceRule, ...] | None = DAILY) -> Life:
    (found,) = lives(Task.CLASSIFICATION, cells_of(served, 40, times_s), 0.95, schedule=schedule)
    return found


def good(t: float) -> int:
    """How many chips are good at a time, by the law."""
    return sum(served(chip, t) >= 0.95 for chip in range(40))


def test_a_chip_that_a_service_brought_back_is_good_again_and_has_fallen_all_the_same() -> None:
    found = life_of(AROUND_SERVICES_S)
    assert found.in_service is not None
    holding = {point.t_inference: round(40 * point.share) for point in found.yield_}
    available = {point.t_inference: round(40 * point.share) for point in found.in_service.availability}
    bad = 40 - good(DAY_S - 1)
    assert 0 < bad < 40
    assert [available[t] for t in AROUND_SERVICES_S] == [good(t) for t in AROUND_SERVICES_S]
    assert [available[t] for t in (DAY_S - 1, DAY_S)] == [40 - bad, 40]
    assert [holding[t] for t in AROUND_SERVICES_S] == [40] + [40 - bad] * 5
    assert found.in_service.last == good(2.5 * DAY_S)


def test_the_services_that_brought_chips_back_are_told_with_how_many() -> None:
    found = life_of(AROUND_SERVICES_S)
    assert found.in_service is not None
    bad = 40 - good(DAY_S - 1)
    first, second = found.in_service.returns[:2]
    assert (first.from_s, first.to_s, first.down, first.back) == (DAY_S - 1, DAY_S, bad, bad)
    assert first.services == (Done(DAY_S, ServiceKind.COMPENSATE),)
    assert (second.from_s, second.to_s, second.services) == (
        2 * DAY_S - 1, 2 * DAY_S, (Done(2 * DAY_S, ServiceKind.COMPENSATE),)
    )  # fmt: skip


def test_chips_that_come_back_without_a_service_are_not_said_to_owe_it_to_one() -> None:
    late = (MaintenanceRule(at=(10 * DAY_S,), do=(ServiceKind.REPROGRAM,)),)
    (found,) = life_of(AROUND_SERVICES_S, late).in_service.returns[:1]  # type: ignore[union-attr]
    assert (found.services, found.back) == ((), 40 - good(DAY_S - 1))


def test_availability_is_the_yield_where_no_chip_comes_back() -> None:
    (found,) = lives(
        Task.CLASSIFICATION,
        cells_of(lambda chip, t: 0.98 - SLOPES[chip] * math.log(t), 40),
        0.95,
        schedule=DAILY,
    )
    assert found.in_service is not None
    assert found.in_service.availability == found.yield_
    assert found.in_service.holds_95_percent_until_s == found.holds_95_percent_until_s
    assert all(one.back == 0 for one in found.in_service.returns)


@pytest.mark.parametrize("schedule", [None, ()])
def test_without_services_there_is_one_meaning(schedule: tuple[MaintenanceRule, ...] | None) -> None:
    assert life_of(AROUND_SERVICES_S, schedule).in_service is None
    served_too, plain = life_of(AROUND_SERVICES_S), life_of(AROUND_SERVICES_S, schedule)
    assert (served_too.chips, served_too.yield_) == (plain.chips, plain.yield_)
    assert served_too.holds_95_percent_until_s == plain.holds_95_percent_until_s


def test_95_percent_are_good_until_more_than_one_of_twenty_is_down_at_once() -> None:
    # Chip after chip is down for a day, so one at a time, until two are.
    apart = [[Downtime(day * DAY_S, (day + 1) * DAY_S)] for day in range(1, 19)]
    times_s = [day * DAY_S for day in range(1, 31)]
    held = Fleet(times_s, [*apart, [], []])
    assert held.until_95_percent().time_s == times_s[-1]
    assert "still hold" in (held.until_95_percent().reason or "")
    together = Fleet(times_s, [*apart, [Downtime(12.5 * DAY_S, 13 * DAY_S)], []])
    assert together.until_95_percent().time_s == 12.5 * DAY_S
    inside = [
        one for one in held.shares(None) if one.t_inference / DAY_S % 1 and one.t_inference < 19 * DAY_S
    ]
    assert {one.share for one in inside} == {0.95}


def test_a_chip_is_down_from_where_the_logarithm_says_until_it_is_seen_to_be_good() -> None:
    found = downtimes((1.0, 10.0, 100.0, 1000.0, 1e4), (1.0, 0.8, 0.7, 1.0, 0.8), 0.9)
    assert [one.end_s for one in found] == [1000.0, math.inf]
    assert [one.start_s for one in found] == [pytest.approx(10**0.5), pytest.approx(1000 * 10**0.5)]
    assert downtimes((1.0, 10.0), (0.8, 0.9), 0.9) == [Downtime(-math.inf, 10.0)]
    assert downtimes(TIMES_S, [0.9] * len(TIMES_S), 0.9) == []


def test_counting_at_a_time_and_along_the_curve_agree() -> None:
    rng = np.random.Generator(np.random.Philox(5))
    fleet = Fleet(TIMES_S, [downtimes(TIMES_S, rng.choice([0.8, 0.9, 1.0], 6), 0.9) for _ in range(50)])
    for point in fleet.shares(None):
        assert round(50 * point.share) == fleet.up(point.t_inference)

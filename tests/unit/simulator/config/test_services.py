"""Which services of a schedule must run: compared with all of them, one after another."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.config.evaluation import EvaluateSpec
from simulator.config.maintenance import MaintenanceRule, Schedule, ServiceKind
from simulator.config.services import (
    MOST_SERVICES,
    READS,
    WRITES,
    Part,
    Service,
    TooManyServicesError,
    planned,
)

YEAR_S = 31536000.0
KINDS = st.lists(st.sampled_from(ServiceKind), min_size=1, max_size=4, unique=True)
# Few numbers, so that services and evaluated times often coincide.
MOMENTS = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.5, 6.0, 9.0, 12.0])
RULES = st.one_of(
    st.builds(
        lambda every, do: MaintenanceRule(every=every, do=tuple(do)),
        st.sampled_from([0.7, 1.0, 1.5, 3.0]),
        KINDS,
    ),
    st.builds(
        lambda at, do: MaintenanceRule(at=tuple(at), do=tuple(do)),
        st.lists(MOMENTS, min_size=1, max_size=4, unique=True),
        KINDS,
    ),
)
SCHEDULES = st.lists(RULES, max_size=3).map(tuple)
TIMES = st.lists(MOMENTS, min_size=1, max_size=4, unique=True).map(sorted)


def schedule_of(*rules: dict[str, Any]) -> Schedule:
    return tuple(MaintenanceRule.model_validate(rule) for rule in rules)


def all_services(schedule: Schedule, end_s: float) -> list[tuple[float, int, int, ServiceKind]]:
    """Every service up to a time, in the order in which they come."""
    found = []
    for number, rule in enumerate(schedule):
        times = rule.at
        if times is None:
            assert rule.every is not None
            times = tuple(count * rule.every for count in range(1, int(end_s / rule.every) + 2))
        for t in times:
            found += [(t, number, step, kind) for step, kind in enumerate(rule.do) if t <= end_s]
    return sorted(found, key=lambda one: one[:3])


State = dict[Part, Any]


def after(state: State, kind: ServiceKind, name: object) -> State:
    """What a service makes of a state: each part tells what it was made from."""
    read = tuple(state[part] for part in sorted(READS[kind], key=lambda one: one.name))
    return state | dict.fromkeys(WRITES[kind], (name, read))


BEGIN: State = dict.fromkeys(Part, "programmed")


@given(SCHEDULES, TIMES)
def test_what_is_left_out_changes_no_state_at_an_evaluated_time(schedule, times):
    state = dict(BEGIN)
    for visit in planned(schedule, times):
        for service in visit.services:
            state = after(state, service.kind, (service.time_s, service.kind, service.again))
        everything: State = dict(BEGIN)
        again: dict[tuple[float, ServiceKind], int] = {}
        for t, _, _, kind in all_services(schedule, visit.time_s):
            number = again.get((t, kind), 0)
            again[t, kind] = number + 1
            everything = after(everything, kind, (t, kind, number))
        assert state == everything


@given(SCHEDULES, TIMES)
def test_nothing_is_run_that_could_be_left_out(schedule, times):
    visits = planned(schedule, times)
    services = [service for visit in visits for service in visit.services]

    def states(left_out: Service | None) -> list[State]:
        state, found = dict(BEGIN), []
        for visit in visits:
            for service in visit.services:
                if service is not left_out:
                    state = after(state, service.kind, (service.time_s, service.kind, service.again))
            found.append(dict(state))
        return found

    whole = states(None)
    assert all(states(service) != whole for service in services)


@given(SCHEDULES, TIMES)
def test_services_come_in_order_after_the_evaluated_time_before_and_not_after_their_own(schedule, times):
    before = -math.inf
    for visit in planned(schedule, times):
        moments = [service.time_s for service in visit.services]
        assert moments == sorted(moments)
        assert all(before < t <= visit.time_s for t in moments)
        before = visit.time_s


@given(SCHEDULES, TIMES, st.data())
def test_a_plan_for_some_of_the_times_brings_a_chip_to_them_in_the_same_state(schedule, times, data):
    some = sorted(data.draw(st.sets(st.sampled_from(times), min_size=1)))

    def states(wanted: list[float]) -> dict[float, State]:
        state, found = dict(BEGIN), {}
        for visit in planned(schedule, wanted):
            for service in visit.services:
                state = after(state, service.kind, service)
            found[visit.time_s] = dict(state)
        return found

    whole = states(times)
    assert states(some) == {t: whole[t] for t in some}


@given(SCHEDULES, TIMES)
def test_programmings_are_counted_whether_they_run_or_not(schedule, times):
    for visit in planned(schedule, times):
        done = [t for t, *_, kind in all_services(schedule, visit.time_s) if kind is ServiceKind.REPROGRAM]
        assert visit.programming.number == len(done)
        assert visit.programming.time_s == max(done, default=0.0)


def test_a_compensation_that_another_follows_is_not_run():
    [day, year] = planned(schedule_of({"every": 3600, "do": ["compensate"]}), [86400.0, YEAR_S])
    assert [service.time_s for service in day.services] == [86400.0]
    assert [service.time_s for service in year.services] == [YEAR_S]


def test_nothing_before_a_reprogramming_is_run():
    rules = schedule_of(
        {"every": 60, "do": ["compensate", "refresh_batch_norm"]}, {"at": [6000], "do": ["reprogram"]}
    )
    [visit] = planned(rules, [6030.0])
    assert [(one.kind.value, one.time_s) for one in visit.services] == [("reprogram", 6000.0)]
    assert visit.programming.number == 1


def test_as_many_services_as_must_run_are_counted_and_no_others():
    often = schedule_of({"every": 1e-3, "do": ["compensate"]})
    times = [float(t) for t in range(1, MOST_SERVICES + 1)]
    assert len(planned(often, times)) == MOST_SERVICES
    with pytest.raises(TooManyServicesError, match="1000"):
        planned(often, [*times, 1e9])


def test_a_chain_of_services_that_read_one_another_runs_as_a_whole():
    chain = schedule_of({"every": 1.0, "do": ["refresh_batch_norm", "calibrate_input_ranges"]})
    [visit] = planned(chain, [5.0])
    assert len(visit.services) == 10


@given(st.integers(1, 10**12), st.floats(1e-3, 1e6))
def test_a_service_at_a_multiple_of_its_interval_comes_before_the_cell_there(count, every):
    t = count * every
    if t > 1e12:
        return
    [visit] = planned((MaintenanceRule(every=every, do=(ServiceKind.COMPENSATE,)),), [t])
    assert [service.time_s for service in visit.services] == [t]


@pytest.mark.parametrize(
    "rule",
    [
        {"do": ["compensate"]},
        {"every": 1, "at": [1], "do": ["compensate"]},
        {"every": 0, "do": ["compensate"]},
        {"at": [], "do": ["compensate"]},
        {"at": [1, 1], "do": ["compensate"]},
        {"at": [-1], "do": ["compensate"]},
        {"every": 1, "do": []},
        {"every": 1, "do": ["compensate", "compensate"]},
        {"every": 1, "do": ["calibrate"]},
        {"every": 1, "do": ["refresh_batch_norm"], "samples": 1},
    ],
)
def test_a_rule_that_says_nothing_clear_is_refused(rule):
    with pytest.raises(ValueError, match="validation error"):
        EvaluateSpec.model_validate({"t_inference": [1], "maintenance": [rule]})

"""Which evaluations an error budget needs, and what shares follow from them."""

from __future__ import annotations

import math
from itertools import permutations as all_orders

import pytest

from simulator.config.analyses import ErrorBudget
from simulator.config.analyses.error_budget import (
    BudgetMethod,
    EffectSet,
    effects_on,
    evaluated,
    is_exact,
    permutations,
    setting_of,
    shares,
)
from simulator.config.effects import SWITCHED, Effect

SHAPLEY = ErrorBudget(method=BudgetMethod.SHAPLEY)
FOUR = SWITCHED[:4]


def crooked(on: EffectSet) -> float:
    """A loss with interactions of all orders."""
    weights = {effect: 0.3 + 0.17 * number for number, effect in enumerate(SWITCHED)}
    total = sum(weights[effect] for effect in on)
    return math.tanh(total) * (1 + 0.1 * (Effect.DRIFT in on and Effect.READ_NOISE in on))


def test_one_at_a_time_takes_at_most_two_evaluations_for_each_group() -> None:
    for groups in range(len(SWITCHED) + 1):
        sets = evaluated(ErrorBudget(), SWITCHED[:groups])
        assert len(sets) == len(set(sets)) <= 2 * groups + 1
        assert frozenset(SWITCHED[:groups]) not in sets


def test_the_whole_set_is_the_jobs_own_and_is_not_evaluated() -> None:
    assert evaluated(ErrorBudget(), ()) == []
    assert evaluated(ErrorBudget(), FOUR[:1]) == [frozenset()]


def test_shapley_evaluates_every_subset_of_its_permutations_once() -> None:
    sets = evaluated(SHAPLEY, SWITCHED)
    assert len(sets) == len(set(sets))
    for order in permutations(SWITCHED, SHAPLEY.permutations):
        assert {frozenset(order[:end]) for end in range(len(order))} <= set(sets)


@pytest.mark.parametrize("groups", range(8))
def test_all_orders_are_taken_where_that_needs_no_more_evaluations(groups: int) -> None:
    effects = SWITCHED[:groups]
    assert is_exact(SHAPLEY, effects) == (2**groups - 2 <= 8 * max(groups - 1, 0))
    if is_exact(SHAPLEY, effects):
        assert len(evaluated(SHAPLEY, effects)) == max(2**groups - 1, 0)


def test_half_of_the_permutations_are_the_others_reversed() -> None:
    orders = permutations(SWITCHED, 10)
    assert [order[::-1] for order in orders[::2]] == orders[1::2]
    assert all(sorted(order) == sorted(SWITCHED) for order in orders)
    assert len(set(orders)) == 10
    assert permutations(SWITCHED, 10) == orders


@pytest.mark.parametrize("effects", [FOUR, SWITCHED], ids=["exact", "sampled"])
def test_shares_add_up_to_the_whole_loss(effects: tuple[Effect, ...]) -> None:
    found = shares(SHAPLEY, effects, crooked)
    whole = crooked(frozenset(effects)) - crooked(frozenset())
    assert math.fsum(found.values()) == pytest.approx(whole, abs=1e-15)


def test_exact_shares_are_those_of_all_orders() -> None:
    expected = dict.fromkeys(FOUR, 0.0)
    orders = list(all_orders(FOUR))
    for order in orders:
        for end, one in enumerate(order, 1):
            gain = crooked(frozenset(order[:end])) - crooked(frozenset(order[: end - 1]))
            expected[one] += gain / len(orders)
    assert shares(SHAPLEY, FOUR, crooked) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("effects", [FOUR, SWITCHED], ids=["exact", "sampled"])
def test_losses_that_add_up_are_their_own_shares(effects: tuple[Effect, ...]) -> None:
    costs = {effect: 0.01 * (number + 1) for number, effect in enumerate(effects)}
    assert shares(SHAPLEY, effects, lambda on: sum(costs[one] for one in on)) == pytest.approx(costs)


def test_a_setting_names_its_groups_in_the_same_way_in_every_job() -> None:
    assert setting_of(frozenset()).key == "on:00"
    assert setting_of(frozenset(SWITCHED)).key == "on:7f"
    assert setting_of(frozenset({Effect.DRIFT, Effect.ARRAY})).key == "on:42"
    for on in evaluated(SHAPLEY, SWITCHED):
        assert effects_on(setting_of(on).coordinates) == on

"""The error budget: which group of effects costs how much, from evaluations with groups off.

Shares are Shapley values (L. S. Shapley, 1953): a group's mean contribution over orders in which the groups
are switched on. Whatever orders are taken, the shares of one of them add up to the whole loss, so those of a
mean over orders do.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import combinations
from typing import Annotated, Final, Literal

from pydantic import Field

from simulator.config.analyses.base import AnalysisConfig, Setting
from simulator.config.base import PositiveCount
from simulator.config.effects import SWITCHED, Effect

MOST_PERMUTATIONS: Final = 1000
EffectSet = frozenset[Effect]
Value = Callable[[EffectSet], float]


class BudgetMethod(StrEnum):
    """How much of the budget is computed."""

    ONE_AT_A_TIME = "one_at_a_time"
    SHAPLEY = "shapley"


class ErrorBudget(AnalysisConfig):
    """Which group of effects costs how much."""

    type: Literal["error_budget"] = "error_budget"
    method: BudgetMethod = Field(
        default=BudgetMethod.ONE_AT_A_TIME,
        description="`one_at_a_time`: each group alone, and all without it. `shapley`: shares besides,"
        " which add up to the whole loss.",
    )
    permutations: Annotated[PositiveCount, Field(ge=2, le=MOST_PERMUTATIONS, multiple_of=2)] = Field(
        default=8,
        description="Orders of the groups for `shapley`, half of them the others reversed; all orders are"
        " taken where that needs no more evaluations.",
    )


def is_exact(budget: ErrorBudget, effects: Sequence[Effect]) -> bool:
    """Return whether all orders are taken: all proper subsets are not more than those of the permutations."""
    groups = len(effects)
    subsets: int = 2**groups - 2
    return subsets <= budget.permutations * max(0, groups - 1)


def permutations(effects: Sequence[Effect], count: int) -> list[tuple[Effect, ...]]:
    """Return orders of the groups, half of them the others reversed: the same for every chip and job.

    A hash sorts them, since nothing here is a draw that two jobs may differ in.
    """
    orders: list[tuple[Effect, ...]] = []
    for number in range(count // 2):
        order = tuple(sorted(effects, key=lambda one: hashlib.sha256(f"{number}|{one}".encode()).digest()))
        orders += [order, order[::-1]]
    return orders


def evaluated(budget: ErrorBudget, effects: Sequence[Effect]) -> list[EffectSet]:
    """Return the sets of groups to evaluate with these on and the others off, each once.

    The whole set is not among them: it is the job's own cells.
    """
    whole = frozenset(effects)
    found: dict[EffectSet, None] = dict.fromkeys([frozenset()])
    for one in effects:
        found |= dict.fromkeys([frozenset({one}), whole - {one}])
    if budget.method is BudgetMethod.SHAPLEY:
        if is_exact(budget, effects):
            sizes = range(1, len(effects))
            found |= dict.fromkeys(frozenset(some) for size in sizes for some in combinations(effects, size))
        else:
            for order in permutations(effects, budget.permutations):
                found |= dict.fromkeys(frozenset(order[:end]) for end in range(1, len(order)))
    found.pop(whole, None)
    return list(found)


def setting_of(on: EffectSet) -> Setting:
    """Return the evaluation with some groups on."""
    bits = sum(1 << number for number, effect in enumerate(SWITCHED) if effect in on)
    return Setting(f"on:{bits:02x}", {"on": [effect.value for effect in SWITCHED if effect in on]})


def effects_on(coordinates: Mapping[str, Sequence[str]]) -> EffectSet:
    """Return the groups that are on in an evaluation: the inverse of `setting_of`."""
    return frozenset(Effect(name) for name in coordinates["on"])


def shares(budget: ErrorBudget, effects: Sequence[Effect], loss: Value) -> dict[Effect, float]:
    """Return each group's share of the loss beyond mapping, on one chip; they add up to it.

    Args:
        budget: says which orders are taken.
        effects: the groups that are on.
        loss: what is lost with some groups on.
    """
    if is_exact(budget, effects):
        return _exact_shares(effects, loss)
    found = dict.fromkeys(effects, 0.0)
    orders = permutations(effects, budget.permutations)
    for order in orders:
        for end, one in enumerate(order, 1):
            found[one] += (loss(frozenset(order[:end])) - loss(frozenset(order[: end - 1]))) / len(orders)
    return found


def _exact_shares(effects: Sequence[Effect], loss: Value) -> dict[Effect, float]:
    groups = len(effects)
    found: dict[Effect, float] = {}
    for one in effects:
        others = [other for other in effects if other is not one]
        found[one] = math.fsum(
            (loss(frozenset({*some, one})) - loss(frozenset(some))) / (groups * math.comb(groups - 1, size))
            for size in range(groups)
            for some in combinations(others, size)
        )
    return found

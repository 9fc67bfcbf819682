"""The error budget as clients read it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from app.analyses.asked import Asked
from app.analyses.estimates import column, difference, estimate
from app.analyses.schemas import BudgetRowView, ErrorBudgetView, EstimateView
from simulator.config.analyses import ErrorBudget
from simulator.config.analyses.error_budget import (
    BudgetMethod,
    EffectSet,
    evaluated,
    is_exact,
    setting_of,
    shares,
)
from simulator.config.effects import SWITCHED, Effect, effects_of

_NONE: EffectSet = frozenset()


def view(asked: Asked) -> ErrorBudgetView:
    """Return the answer, as far as it is known."""
    budget = cast("ErrorBudget", asked.analysis)
    effects = effects_of(asked.subject.configs.values())
    has_shares = budget.method is BudgetMethod.SHAPLEY
    exact = is_exact(budget, effects) if has_shares else None
    found = ErrorBudgetView(
        **asked.common(),
        method=budget.method,
        exact=exact,
        rows=[row for variant, t in asked.points() for row in _rows(asked, budget, effects, variant, t)],
    )
    if exact is False:
        found.notes.append(
            f"Shares are means over {budget.permutations} of the {math.factorial(len(effects))} orders of "
            "the groups; their intervals cover chips, not the choice of orders."
        )
    return found


def _rows(
    asked: Asked, budget: ErrorBudget, effects: Sequence[Effect], variant: str, t_inference_s: float
) -> Iterator[BudgetRowView]:
    whole = frozenset(effects)

    def key(on: EffectSet) -> str | None:
        return None if on == whole else setting_of(on).key

    def losses(*sets: EffectSet) -> list[list[float]] | None:
        return asked.losses([key(one) for one in sets], variant, t_inference_s)

    by_group = _shares(budget, effects, losses) if budget.method is BudgetMethod.SHAPLEY else {}
    remains = estimate(column(losses(_NONE), 0))
    yield BudgetRowView(
        variant=variant,
        t_inference=t_inference_s,
        group=Effect.MAPPING,
        on=True,
        alone=remains,
        without=None,
        share=by_group.get(Effect.MAPPING),
    )
    total = estimate(column(losses(whole), 0))
    for effect in SWITCHED:
        on = effect in whole
        zero = None if total is None else EstimateView(mean=0.0, ci95=(0.0, 0.0), repeats=total.repeats)
        yield BudgetRowView(
            variant=variant,
            t_inference=t_inference_s,
            group=effect,
            on=on,
            alone=difference(losses(frozenset({effect}), _NONE)) if on else zero,
            without=difference(losses(whole, whole - {effect})) if on else zero,
            share=by_group.get(effect) if on else zero if by_group else None,
        )


def _shares(
    budget: ErrorBudget, effects: Sequence[Effect], losses: Callable[..., list[list[float]] | None]
) -> dict[Effect, EstimateView | None]:
    """Return each group's share, with that of mapping, over the chips that have all that it needs."""
    sets = [*evaluated(budget, effects), frozenset(effects)]
    rows = losses(*sets)
    if rows is None:
        return {effect: estimate(None) for effect in (Effect.MAPPING, *effects)}
    found: dict[Effect, list[float]] = {effect: [] for effect in (Effect.MAPPING, *effects)}
    for row in rows:
        of = dict(zip(sets, row, strict=True))
        found[Effect.MAPPING].append(of[_NONE])
        for effect, share in shares(budget, effects, of.__getitem__).items():
            found[effect].append(share)
    return {effect: estimate(values) for effect, values in found.items()}

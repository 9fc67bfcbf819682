"""What a job is asked besides its accuracy over time: planned, stored and gone on with, by type of analysis.

A further type has its specification in `simulator.config.analyses`, what it evaluates in a module here,
what becomes of that on a worker in `worker.items.analyses`, and its answer in `app.analyses`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.engine.kinds.analyses import advice, error_budget, layer_sensitivity, maintenance_plan
from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from simulator.config import Variant
from simulator.config.analyses import Setting


@dataclass(frozen=True)
class Plan:
    """What an analysis evaluates; both are pure functions, so that a kill changes nothing.

    Attributes:
        first: of a variant, from the job alone.
        further: of a variant, once all that was planned is there; nothing ends it. None: there is never more.
    """

    first: Callable[[Any, Subject, Variant], Sequence[Setting]]
    further: Callable[[Any, Subject, Variant, Measured], Sequence[Setting]] | None = None


PLANS: Mapping[str, Plan] = {
    "advice": Plan(advice.first, advice.further),
    "error_budget": Plan(error_budget.first),
    "layer_sensitivity": Plan(layer_sensitivity.first, layer_sensitivity.further),
    "maintenance_plan": Plan(maintenance_plan.first, maintenance_plan.further),
}

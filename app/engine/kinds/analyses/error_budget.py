"""The error budget: each set of groups of effects that its method needs, once."""

from __future__ import annotations

from collections.abc import Sequence

from app.engine.kinds.analyses.subject import Subject
from simulator.config import Variant
from simulator.config.analyses import ErrorBudget, Setting
from simulator.config.analyses.error_budget import evaluated, setting_of
from simulator.config.effects import effects_of


def first(budget: ErrorBudget, subject: Subject, variant: Variant) -> Sequence[Setting]:
    """Return what is evaluated; the whole set of groups is the job's own cells."""
    del variant  # the hardware of all is the same
    return [setting_of(on) for on in evaluated(budget, effects_of(subject.configs.values()))]

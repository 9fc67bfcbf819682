"""Advice: what a look at the first chip advises, evaluated in a further round where that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.engine.kinds.analyses.losses import Measured
from app.engine.kinds.analyses.subject import Subject
from simulator.config import Variant
from simulator.config.analyses import Advice, Setting
from simulator.config.analyses.advice import OBSERVED, setting_of


def first(advice: Advice, subject: Subject, variant: Variant) -> Sequence[Setting]:
    """Return the look at training batches."""
    del advice, subject, variant
    return [OBSERVED]


def observed(
    advice: Advice, subject: Subject, variant: Variant, measured: Measured
) -> Mapping[str, Any] | None:
    """Return what was seen; None before that."""
    [t_inference_s] = advice.times_s(subject.spec)
    return measured.seen.get((OBSERVED.key, (variant.value, t_inference_s, 0)))


def gain(measured: Measured, change: float | None) -> float | None:
    """Return a change of the metric as a gain: positive is better."""
    if change is None:
        return None
    return change if measured.metric.higher_is_better else -change


def further(advice: Advice, subject: Subject, variant: Variant, measured: Measured) -> Sequence[Setting]:
    """Return the evaluations that verify: each change of the whole network, and all changes together."""
    seen = observed(advice, subject, variant, measured)
    if seen is None or not advice.verify or not seen["changes"]:
        return ()
    alone = [setting_of([one]) for one in seen["changes"] if one["layer"] is None]
    together = setting_of(seen["changes"])
    return list({one.key: one for one in (*alone, together)}.values())

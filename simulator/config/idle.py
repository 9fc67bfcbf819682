"""Which fields of a configuration have no effect as the others are, and the configuration without them."""

from __future__ import annotations

from typing import Any

from simulator.config.faults import leaf_fields
from simulator.config.no_effect import NO_EFFECT, is_perfect
from simulator.config.overrides import with_overrides
from simulator.config.rpu import InferenceRPUConfig

# A perfect product still has these.
_KEPT_BY_PERFECT = frozenset({"forward.is_perfect", "forward.mv_type", "forward.out_scale"})
# What they do without effect they do by other sums: the last bits may differ.
_MAY_MOVE_BITS = frozenset({"forward.mv_type", "clip.type"})


def why_idle(dotted: str, config: InferenceRPUConfig) -> str | None:
    """Return why a field has no effect with the value that it has; None where it may have one."""
    if dotted.startswith("forward.") and dotted not in _KEPT_BY_PERFECT and is_perfect(config):
        return "the product is perfect (is_perfect or mv_type Ideal)"
    if dotted in NO_EFFECT and NO_EFFECT[dotted][0](config):
        return NO_EFFECT[dotted][1]
    return None


def without_idle(config: InferenceRPUConfig) -> InferenceRPUConfig:
    """Return a configuration of equal numbers in which no field without effect differs from its default.

    Fields are put back one by one, each judged with the others as they are then, so that two that depend on
    each other cannot both be taken for idle. Fields of noise models and compensations are left as they are.
    """
    for dotted, value, default in list(leaf_fields(config)):
        if value == default or dotted in _MAY_MOVE_BITS or why_idle(dotted, config) is None:
            continue
        override: Any = default
        for name in reversed(dotted.split(".")):
            override = {name: override}
        config = with_overrides(config, override)
    return config

"""Which check judges which kind of case."""

from __future__ import annotations

from tests.golden import compensation, forward, gradients, modifiers, weight_updates
from tests.golden.common import Check

CHECKS: dict[str, Check] = {
    "tile_forward": forward.check_tile,
    "layer_forward": forward.check_layer,
    "drift_compensation_exact": compensation.check_exact,
    "drift_alpha_distribution": compensation.check_distribution,
    "weight_modifier": modifiers.check_modifier,
    "modifier_timing": modifiers.check_timing,
    "clip": weight_updates.check,
    "remap": weight_updates.check,
    "gradients": gradients.check,
    "input_range_learning": gradients.check_range_learning,
}

"""Which check judges which kind of case."""

from __future__ import annotations

from tests.golden import (
    calibration,
    compensation,
    converters,
    edges,
    end_to_end,
    forward,
    gradients,
    modifiers,
    moments,
    noise_models,
    weight_updates,
)
from tests.golden.common import Check

CHECKS: dict[str, Check] = {
    "tile_forward": forward.check_tile,
    "layer_forward": forward.check_layer,
    "drift_compensation_exact": compensation.check_exact,
    "drift_alpha_distribution": compensation.check_distribution,
    "forward_moments": moments.check,
    "weight_modifier": modifiers.check_modifier,
    "modifier_timing": modifiers.check_timing,
    "clip": weight_updates.check,
    "remap": weight_updates.check,
    "gradients": gradients.check,
    "input_range_learning": gradients.check_range_learning,
    "calibration": calibration.check,
    "converter": converters.check,
    "noise_model": noise_models.check,
    "edge": edges.check,
    **end_to_end.CHECKS,
}

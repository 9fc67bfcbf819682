"""Which check judges which kind of case."""

from __future__ import annotations

from tests.golden import compensation, forward
from tests.golden.common import Check

CHECKS: dict[str, Check] = {
    "tile_forward": forward.check_tile,
    "layer_forward": forward.check_layer,
    "drift_compensation_exact": compensation.check_exact,
    "drift_alpha_distribution": compensation.check_distribution,
}

"""Which check judges which kind of case."""

from __future__ import annotations

from tests.golden import forward
from tests.golden.common import Check

CHECKS: dict[str, Check] = {
    "tile_forward": forward.check_tile,
}

"""Token buckets: so many requests a second in the long run, and some more at once.

Each API process has its own. The fields in answers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

AT_ONCE_S: Final = 10.0  # worth of requests that may come at once
_POLICY: Final = "requests"


@dataclass(frozen=True)
class Draw:
    """What came of taking a token.

    Attributes:
        is_granted: whether there was one.
        left: whole tokens that are left.
        wait_s: until the next one is there.
        size: of the bucket.
        window_s: in which an empty bucket fills.
    """

    is_granted: bool
    left: int
    wait_s: float
    size: int
    window_s: float

    def fields(self) -> dict[str, str]:
        """Return the header fields that tell the client."""
        return {
            "RateLimit-Policy": f'"{_POLICY}";q={self.size};w={math.ceil(self.window_s)}',
            "RateLimit": f'"{_POLICY}";r={self.left};t={math.ceil(self.wait_s)}',
        }


class Buckets:
    """A bucket for each project.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}  # tokens, and when there were so many

    def draw(self, name: str, rate: float) -> Draw:
        """Take a token of a bucket that fills at a rate, in tokens per second."""
        now = self._clock()
        size = max(1.0, rate * AT_ONCE_S)
        level, then = self._levels.get(name, (size, now))
        level = min(size, level + (now - then) * rate)
        is_granted = level >= 1.0
        if is_granted:
            level -= 1.0
        self._levels[name] = (level, now)
        wait_s = max(0.0, (1.0 - level) / rate)
        return Draw(is_granted, int(level), wait_s, int(size), size / rate)

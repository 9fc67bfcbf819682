"""Times of several works in one run, taken in turns, so that a busy moment of the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def best_of(
    cases: Mapping[str, Callable[[], object]], *, seconds: float = 8.0, least: int = 5, warm_up: int = 3
) -> dict[str, float]:
    """Return each case's shortest time in s.

    Args:
        cases: what is timed, by name.
        seconds: how long to go on with all of them.
        least: rounds at least.
        warm_up: rounds before.
    """
    for work in cases.values():
        for _ in range(warm_up):
            work()
    times: dict[str, float] = dict.fromkeys(cases, float("inf"))
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or time.perf_counter() < end:
        for name, work in cases.items():
            start = time.perf_counter()
            work()
            times[name] = min(times[name], time.perf_counter() - start)
        rounds += 1
    return times

"""Waiting in tests: poll until something holds, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

DEADLINE_S = 240.0  # enough for a whole service on a machine under load
_PAUSE_S = 0.02

Value = TypeVar("Value")


def until(condition: Callable[[], Value], what: str, deadline_s: float = DEADLINE_S) -> Value:
    """Poll until the condition holds; return its value.

    Args:
        condition: what is polled; anything true ends the wait.
        what: the condition in words, for the failure.
        deadline_s: time after which the test fails.
    """
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(_PAUSE_S)
    pytest.fail(f"waited {deadline_s:g} s for {what}")

"""Compiled loops in the place of torch operations, where they are installed and enabled.

Everything here is optional and has its plain form in torch, which gives the same numbers; sums, of squares or
of gradients, agree to rounding. The loops need numba, the CPU and float32. Addresses of memory are taken in
`arrays.py` alone; everything else hands tensors over. `simulator.tile.path` decides when a loop runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

_enabled = True


@lru_cache(maxsize=1)
def loops() -> Any:
    """Return the module of compiled loops, None where it cannot be had."""
    try:
        return import_module("simulator.tile.fast.kernels")
    except ImportError:  # no numba, or one that does not go with what is installed
        return None


def available() -> bool:
    """Return whether the compiled loops are installed."""
    return loops() is not None


@contextmanager
def disabled() -> Iterator[None]:
    """Do without the compiled loops for a while."""
    global _enabled  # noqa: PLW0603 - one switch for the process
    before, _enabled = _enabled, False
    try:
        yield
    finally:
        _enabled = before


def takes(*values: Tensor) -> bool:
    """Return whether the loops are enabled and made for such values: float32 on the CPU."""
    if not _enabled or loops() is None:
        return False
    for value in values:  # noqa: SIM110 - asked for every tile: a generator would double the time
        if value.dtype is not torch.float32 or not value.is_cpu:
            return False
    return True

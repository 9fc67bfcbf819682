"""Configurations of other programs, read as ours: aihwkit's JSON and its Composer's dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.config.foreign_aihwkit import import_aihwkit
from simulator.config.foreign_composer import MARKS, import_composer
from simulator.config.foreign_report import Assumption, Dialect, Imported, ImportRefusedError

__all__ = ["Assumption", "Dialect", "ImportRefusedError", "Imported", "import_foreign"]


def import_foreign(spec: Mapping[str, Any]) -> Imported:
    """Read a configuration written for another program; its fields say which one.

    Raises:
        ImportRefusedError: with every fault.
    """
    if "class" not in spec and MARKS & set(spec):
        return import_composer(spec)
    return import_aihwkit(spec)

"""What is imported only when it is asked for, and what to install when it is missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from driftline.errors import MissingExtra


def need(module: str, purpose: str, extra: str = "client") -> Any:
    """Import and return a module that an extra brings.

    Args:
        module: the module's name.
        purpose: what it is for, in the plural.
        extra: which extra brings it.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise MissingExtra(
            f"{purpose} need the package {package}: pip install 'driftline[{extra}]' (missing: {error.name})"
        ) from None


def is_installed(module: str) -> bool:
    """Tell whether a module could be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False

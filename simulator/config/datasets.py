"""The built-in datasets as the API knows them: `datasets.json`, made by `simulator.data list`."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def builtin_datasets() -> dict[str, dict[str, Any]]:
    """Return the report of every built-in dataset by id: inputs, targets, classes, sizes, licence, source."""
    text = resources.files("simulator.config").joinpath("datasets.json").read_text("utf-8")
    reports: dict[str, dict[str, Any]] = json.loads(text)
    return reports

"""RPU configurations."""

from __future__ import annotations

from typing import Any

from driftline.resources.record import Record


class Preset(Record):
    """A named configuration."""

    name: str
    description: str
    config_hash: str
    effective: dict[str, Any]


class CheckedConfig(Record):
    """A configuration that can be simulated, as the service understands it."""

    config_hash: str
    effective: dict[str, Any]
    warnings: list[dict[str, Any]]

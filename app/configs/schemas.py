"""What clients read about RPU configurations."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ConfigWarning(BaseModel):
    """Something that works as configured, but hardly is what was meant."""

    pointer: str = Field(description="JSON pointer into the body.")
    code: str
    message: str


class CheckedConfig(BaseModel):
    """A configuration that can be simulated, as the service understands it."""

    config_hash: str = Field(description="sha256 of the effective configuration's canonical JSON.")
    effective: dict[str, Any] = Field(description="The configuration with every default filled in.")
    warnings: list[ConfigWarning]


class Preset(BaseModel):
    """A named configuration."""

    name: str
    description: str = Field(description="What it describes, and the publication it follows.")
    config_hash: str
    effective: dict[str, Any]


class PresetList(BaseModel):
    """All named configurations."""

    items: list[Preset]

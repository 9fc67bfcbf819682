"""RPU configurations as clients write and read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.db.tables import RpuConfig
from app.kit.fields import EXAMPLE_ID, Name
from simulator.config.base import StrictModel
from simulator.config.foreign import Dialect

STORED = "stored"
_CREATE_EXAMPLE: JsonDict = {
    "name": "PCM, 4 % output noise",
    "config": {"preset": "PCMExamplePreset", "overrides": {"forward": {"out_noise": 0.04}}},
}


class ConfigWarning(BaseModel):
    """Something that works as configured, but hardly is what was meant."""

    pointer: str = Field(description="JSON pointer into the body.")
    code: str = Field(description="What is wrong, as a word that stays the same.")
    message: str = Field(description="What is wrong, in words.")


class CheckedConfig(BaseModel):
    """A configuration that can be simulated, as the service understands it."""

    config_hash: str = Field(description="sha256 of the effective configuration's canonical JSON.")
    effective: dict[str, Any] = Field(description="The configuration with every default filled in.")
    warnings: list[ConfigWarning] = Field(
        description="What is probably not intended, each with pointer, code and message."
    )


class ConfigAssumption(BaseModel):
    """Something that was assumed, left out, or means something else here."""

    pointer: str = Field(description="JSON pointer into the body.")
    code: str = Field(description="What is wrong, as a word that stays the same.")
    message: str = Field(description="What is wrong, in words.")


class ImportedConfig(CheckedConfig):
    """A configuration of another program as ours; the warnings' pointers go into `effective`."""

    dialect: Dialect = Field(description="Dialect that the body was read as.")
    assumed: list[ConfigAssumption] = Field(description="What was assumed, left out, or is done otherwise.")


class Preset(BaseModel):
    """A named configuration."""

    name: str = Field(description="Name of this preset, for people.")
    description: str = Field(description="Hardware of the preset, and the publication that it follows.")
    config_hash: str = Field(
        description="Hash of the effective configuration: equal hashes mean equal hardware."
    )
    effective: dict[str, Any] = Field(description="The configuration with every field.")


class PresetList(BaseModel):
    """All named configurations."""

    items: list[Preset] = Field(description="The presets.")


class StoredReference(StrictModel):
    """A stored configuration, in part replaced."""

    stored: str = Field(description="The id of a stored configuration.")
    overrides: dict[str, Any] | None = Field(default=None, description="Fields to replace in it.")


def is_reference(spec: Any) -> bool:
    """Return whether a spec names a stored configuration."""
    return isinstance(spec, dict) and STORED in spec


class ConfigCreate(StrictModel):
    """A configuration to be stored under a name."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CREATE_EXAMPLE]})

    name: Name = Field(description="Name of the configuration; names need not be unique.")
    description: str | None = Field(
        default=None, max_length=2000, description="Purpose of the configuration."
    )
    config: dict[str, Any] = Field(
        description='An RPU configuration, or `{"preset": name, "overrides": {...}}`.'
    )


class StoredConfigSummary(BaseModel):
    """A stored configuration, in a list."""

    id: str = Field(examples=[EXAMPLE_ID], description="Id of this configuration, a UUID of version 7.")
    name: str = Field(description="Name of this configuration, for people.")
    description: str | None = Field(description="What this configuration is for, for people.")
    config_hash: str = Field(description="sha256 of the effective configuration's canonical JSON.")
    created_at: datetime = Field(description="When this configuration was made.")

    @classmethod
    def of(cls, row: RpuConfig) -> StoredConfigSummary:
        """Return a stored configuration as lists show it."""
        return cls.model_validate(row, from_attributes=True)


class StoredConfig(StoredConfigSummary):
    """A stored configuration."""

    config: dict[str, Any] = Field(description="Configuration as it was written.")
    effective: dict[str, Any] = Field(
        description="The configuration with every default that held when it was stored; jobs use this."
    )
    warnings: list[ConfigWarning] = Field(
        description="What is probably not intended, each with pointer, code and message."
    )

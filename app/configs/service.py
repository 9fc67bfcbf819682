"""What a configuration given by a client means, and what is wrong with it; those stored under a name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.configs.repository import ConfigRepository
from app.configs.schemas import (
    STORED,
    CheckedConfig,
    ConfigAssumption,
    ConfigCreate,
    ConfigWarning,
    ImportedConfig,
    Preset,
    StoredReference,
    is_reference,
)
from app.db.tables import RpuConfig
from app.kit.faults import from_pydantic, pointer
from app.kit.fields import not_found
from app.kit.problems import Fault, InvalidRequest, shortened
from simulator.config import (
    PRESETS,
    InferenceRPUConfig,
    config_hash,
    effective,
    resolve,
    unsupported,
    warnings_for,
    with_overrides,
)
from simulator.config.faults import Fault as ConfigFault
from simulator.config.foreign import ImportRefusedError, import_foreign

_PRESET = "preset"


def presets() -> list[Preset]:
    """Return the named configurations."""
    found = []
    for name, make in PRESETS.items():
        config = make()
        found.append(
            Preset(
                name=name,
                description=inspect.getdoc(make) or name,
                config_hash=config_hash(config),
                effective=effective(config),
            )
        )
    return found


def import_config(spec: dict[str, Any]) -> ImportedConfig:
    """Return what a configuration written for another program means here, and what was assumed.

    Raises:
        InvalidRequest: with every fault, located in the body.
    """
    try:
        imported = import_foreign(spec)
    except ImportRefusedError as error:
        faults = [_told(fault) for fault in error.faults]
        if error.error is not None:
            faults += from_pydantic(error.error.errors(include_url=False), spec)
        raise refusal(faults) from None
    faults = [_told(fault) for fault in unsupported(imported.config)]
    if faults:
        raise refusal(faults)
    return ImportedConfig(
        dialect=imported.dialect,
        config_hash=config_hash(imported.config),
        effective=effective(imported.config),
        warnings=warnings_of(imported.config, {}),
        assumed=[ConfigAssumption(**asdict(assumption)) for assumption in imported.assumed],
    )


def _told(fault: ConfigFault) -> Fault:
    return Fault(
        pointer=fault.pointer,
        code=fault.code,
        message=shortened(fault.message),
        hint=None if fault.hint is None else shortened(fault.hint),
    )


class ConfigService:
    """Judges, stores, finds and deletes configurations."""

    def __init__(self, session: Session) -> None:
        self.configs = ConfigRepository(session)

    def check(self, spec: dict[str, Any], prefix: Sequence[str | int] = ()) -> CheckedConfig:
        """Return what the configuration means.

        Args:
            spec: a configuration, or a preset's name or a stored one's id, with overrides.
            prefix: where in the body the spec stands.

        Raises:
            InvalidRequest: with every fault, located in the body.
        """
        config, faults = self.understand(spec, prefix)
        if config is None or faults:
            raise refusal(faults)
        return CheckedConfig(
            config_hash=config_hash(config),
            effective=effective(config),
            warnings=warnings_of(config, spec, prefix),
        )

    def understand(
        self, spec: Any, prefix: Sequence[str | int] = ()
    ) -> tuple[InferenceRPUConfig | None, list[Fault]]:
        """Return the configuration that a spec means, None if it means none, and all its faults.

        Those of what cannot be simulated are among them.
        """
        config, faults = meaning_of(spec, self.configs.get, prefix)
        if config is not None:
            faults = [
                Fault(pointer=pointer_in(spec, fault.pointer, prefix), code=fault.code, message=fault.message)
                for fault in unsupported(config)
            ]
        return config, faults

    def store(self, request: ConfigCreate) -> RpuConfig:
        """Store a configuration under a name.

        Raises:
            InvalidRequest: with every fault of the configuration.
        """
        if is_reference(request.config):
            message = "a stored configuration is made from a configuration or a preset, not from another"
            where = pointer(["config", STORED])
            raise refusal([Fault(pointer=where, code="stored_reference", message=message)])
        checked = self.check(request.config, ["config"])
        row = RpuConfig(
            name=request.name,
            description=request.description,
            spec=request.config,
            effective=checked.effective,
            config_hash=checked.config_hash,
        )
        self.configs.add(row)
        return row

    def get(self, config_id: str) -> RpuConfig:
        """Return the stored configuration; NotFound if there is none."""
        row = self.configs.get(config_id)
        if row is None:
            raise not_found("configuration", config_id)
        return row

    def delete(self, config_id: str) -> None:
        """Delete the stored configuration; NotFound if there is none."""
        self.configs.delete(self.get(config_id))


def meaning_of(
    spec: Any, find: Callable[[str], RpuConfig | None], prefix: Sequence[str | int] = ()
) -> tuple[InferenceRPUConfig | None, list[Fault]]:
    """Return the configuration that a spec means, or None and its faults.

    Args:
        spec: a configuration, or a preset's name or a stored one's id, with overrides.
        find: returns the stored configuration of an id.
        prefix: where in the body the spec stands.
    """
    try:
        if not is_reference(spec):
            return resolve(spec), []
        reference = StoredReference.model_validate(spec)
        row = find(reference.stored)
        if row is not None:
            return with_overrides(as_stored(row), reference.overrides or {}, ("overrides",)), []
    except ValidationError as error:
        return None, from_pydantic(error.errors(include_url=False), spec, prefix)
    fault = Fault(
        pointer=pointer([*prefix, STORED]),
        code="unknown_configuration",
        message=f"there is no stored configuration {shortened(reference.stored, 100)!r}",
        hint="store it with POST /v1/rpu-configs, or see GET /v1/rpu-configs",
    )
    return None, [fault]


def as_stored(row: RpuConfig) -> InferenceRPUConfig:
    """Return the configuration that was stored.

    As it was written, so that overrides see what was set and what was left to the defaults; but once that
    means something else than on the day it was stored, what it meant then.
    """
    try:
        written = resolve(row.spec)
    except ValidationError:
        return InferenceRPUConfig.model_validate(row.effective)
    if config_hash(written) == row.config_hash:
        return written
    return InferenceRPUConfig.model_validate(row.effective)


def warnings_of_stored(row: RpuConfig) -> list[ConfigWarning]:
    """Return the warnings about a stored configuration, which may be older than this version's limits."""
    try:
        return warnings_of(as_stored(row), row.spec, ["config"])
    except ValidationError as error:
        first = from_pydantic(error.errors(include_url=False), row.effective)[0]
        message = (
            "this version of the service no longer takes this configuration: "
            f"{first.pointer or 'as a whole'}: {first.message}"
        )
        return [ConfigWarning(pointer="/config", code="no_longer_valid", message=message)]


def refusal(faults: list[Fault]) -> InvalidRequest:
    """Return the problem of a configuration with faults."""
    count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
    return InvalidRequest(f"the configuration has {count}", errors=faults)


def warnings_of(
    config: InferenceRPUConfig, spec: Any, prefix: Sequence[str | int] = ()
) -> list[ConfigWarning]:
    """Return the warnings about a configuration, located in the spec that it was given as."""
    return [
        ConfigWarning(
            pointer=pointer_in(spec, warning.pointer, prefix), code=warning.code, message=warning.message
        )
        for warning in warnings_for(config)
    ]


def pointer_in(spec: Any, config_pointer: str, prefix: Sequence[str | int]) -> str:
    """Return where the client wrote the value: inline, among the overrides, or by naming the base."""
    base = next((name for name in (STORED, _PRESET) if isinstance(spec, dict) and name in spec), None)
    if base is None:
        return pointer(prefix) + config_pointer
    if _has(spec.get("overrides"), config_pointer.split("/")[1:]):
        return pointer([*prefix, "overrides"]) + config_pointer
    return pointer([*prefix, base])


def _has(value: Any, path: Iterable[str]) -> bool:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True

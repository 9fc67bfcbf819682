"""What a configuration given by a client means, and what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from app.configs.schemas import CheckedConfig, ConfigWarning, Preset
from app.kit.faults import from_pydantic, pointer
from app.kit.problems import Fault, InvalidRequest
from simulator.config import (
    PRESETS,
    InferenceRPUConfig,
    config_hash,
    effective,
    resolve,
    unsupported,
    warnings_for,
)


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


def check(spec: dict[str, Any]) -> CheckedConfig:
    """Return what the configuration means.

    Args:
        spec: a configuration, or `{"preset": name, "overrides": {...}}`.

    Raises:
        InvalidRequest: with every fault, located in the spec.
    """
    config, faults = understand(spec)
    if config is None or faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise InvalidRequest(f"the configuration has {count}", errors=faults)
    return CheckedConfig(
        config_hash=config_hash(config),
        effective=effective(config),
        warnings=warnings_of(config, spec),
    )


def understand(spec: Any, prefix: Sequence[str | int] = ()) -> tuple[InferenceRPUConfig | None, list[Fault]]:
    """Return the configuration that a spec means, None if it means none, and all its faults.

    Args:
        spec: as for `check`.
        prefix: where in the body the spec stands, for the faults' pointers.
    """
    try:
        config = resolve(spec)
    except ValidationError as error:
        return None, from_pydantic(error.errors(include_url=False), spec, prefix)
    faults = [
        Fault(pointer=_pointer_in(spec, fault.pointer, prefix), code=fault.code, message=fault.message)
        for fault in unsupported(config)
    ]
    return config, faults


def warnings_of(
    config: InferenceRPUConfig, spec: Any, prefix: Sequence[str | int] = ()
) -> list[ConfigWarning]:
    """Return the warnings about a configuration, located in the spec that it was given as."""
    return [
        ConfigWarning(
            pointer=_pointer_in(spec, warning.pointer, prefix), code=warning.code, message=warning.message
        )
        for warning in warnings_for(config)
    ]


def _pointer_in(spec: Any, config_pointer: str, prefix: Sequence[str | int]) -> str:
    """Return where the client wrote the value: inline, among the overrides, or by naming the preset."""
    if not (isinstance(spec, dict) and "preset" in spec):
        return pointer(prefix) + config_pointer
    if _has(spec.get("overrides"), config_pointer.split("/")[1:]):
        return pointer([*prefix, "overrides"]) + config_pointer
    return pointer([*prefix, "preset"])


def _has(value: Any, path: Iterable[str]) -> bool:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True

"""Advice: what the settings should be, as overrides that can be sent back."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from simulator.config.analyses.base import AnalysisConfig, Setting
from simulator.config.analyses.layer_sensitivity import literal
from simulator.config.base import PositiveCount, Switch

if TYPE_CHECKING:
    from simulator.config.job import JobSpec

MOST_BITS: Final = 12
LEAST_BITS: Final = 2


class Advice(AnalysisConfig):
    """What the settings should be."""

    type: Literal["advice"] = "advice"
    batches: Annotated[PositiveCount, Field(le=1000)] = Field(
        default=10, description="First training batches on which settings are tried, on the first chip."
    )
    verify: Switch = Field(
        default=False,
        description="Evaluate what is advised on the test set and all chips, in a further round.",
    )

    def times_s(self, job: JobSpec) -> tuple[float, ...]:
        """Return the last of the asked times: a setting has one value for all of them."""
        return super().times_s(job)[-1:]


OBSERVED: Final = Setting("observed", {"observed": True}, observes=True)


def bits_of(resolution: float) -> float:
    """Return the bits of a converter's resolution: `n` bits are `2^n - 2` steps, as in aihwkit's presets."""
    steps = resolution if resolution > 1 else 1 / resolution
    return math.log2(steps + 2)


def resolution_of(bits: int) -> float:
    """Return the resolution of a converter with so many bits, relative to its full range."""
    steps: int = 2**bits - 2
    return 1 / steps


def setting_of(changes: Sequence[Mapping[str, Any]]) -> Setting:
    """Return the evaluation with some changes made.

    Args:
        changes: `{layer, field, to}` each; the layer is None for the whole network.
    """
    told = [{"layer": one["layer"], "field": one["field"], "to": one["to"]} for one in changes]
    text = json.dumps(told, sort_keys=True, allow_nan=False)
    return Setting(f"with:{hashlib.sha256(text.encode()).hexdigest()[:32]}", {"changes": told})


def overrides_of(changes: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return changes as overrides of the configuration, and as `layers.overrides`."""
    whole: dict[str, Any] = {}
    by_layer: dict[str, dict[str, Any]] = {}
    for one in changes:
        target = whole if one["layer"] is None else by_layer.setdefault(one["layer"], {})
        part, _, name = one["field"].partition(".")
        target.setdefault(part, {})[name] = one["to"]
    return whole, [{"match": literal(name), "rpu_config": config} for name, config in by_layer.items()]


def merged(given: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested fields with others merged into them."""
    result = dict(given)
    for name, value in more.items():
        before = result.get(name)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = merged(before, value) if both else value  # type: ignore[arg-type]
    return result


def suggestion_of(
    rpu_config: Mapping[str, Any], layers: Mapping[str, Any] | None, changes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a job's fields `rpu_config` and `layers` with changes made, ready to send.

    Args:
        rpu_config: the job's, as it was written.
        layers: the job's.
        changes: see `setting_of`.
    """
    whole, overrides = overrides_of(changes)
    if "preset" in rpu_config or "stored" in rpu_config:
        config = {**rpu_config, "overrides": merged(rpu_config.get("overrides") or {}, whole)}
    else:
        config = merged(rpu_config, whole)
    before = layers or {}
    kept = {"digital": list(before.get("digital", ()))} if before.get("digital") else {}
    return {"rpu_config": config, "layers": {**kept, "overrides": [*before.get("overrides", ()), *overrides]}}

"""Layer sensitivity: which layer cannot stand the hardware, from evaluations with some layers digital."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import Field

from simulator.config.analyses.base import AnalysisConfig, Setting
from simulator.config.base import NonNegative

DIGITAL, ANALOG = "digital", "analog"


class SensitivityMode(StrEnum):
    """What is evaluated for each layer."""

    ONE_ANALOG = "one_analog"
    ONE_DIGITAL = "one_digital"
    BOTH = "both"


class LayerSensitivity(AnalysisConfig):
    """Which layer cannot stand the hardware."""

    type: Literal["layer_sensitivity"] = "layer_sensitivity"
    mode: SensitivityMode = Field(
        default=SensitivityMode.BOTH,
        description="`one_analog`: each layer analog and the rest digital; `one_digital`: each layer digital"
        " and the rest analog.",
    )
    target_drop: NonNegative | None = Field(
        default=0.01,
        description="Loss against digital that a suggestion has to reach, in the metric's unit; null: none.",
    )


def setting_of(digital: Iterable[str], layers: Collection[str]) -> Setting:
    """Return the evaluation with some of a network's layers on tiles digital.

    Args:
        digital: their names.
        layers: the names of all layers on tiles.
    """
    kept = sorted(set(digital))
    rest = sorted(set(layers) - set(kept))
    shorter = {DIGITAL: kept} if len(kept) <= len(rest) else {ANALOG: rest}
    digest = hashlib.sha256("\n".join(kept).encode()).hexdigest()[:32]
    return Setting(f"digital:{digest}", shorter)


def digital_layers(coordinates: Mapping[str, Sequence[str]], layers: Collection[str]) -> list[str]:
    """Return the layers that are digital in an evaluation: the inverse of `setting_of`."""
    if DIGITAL in coordinates:
        return sorted(coordinates[DIGITAL])
    return sorted(set(layers) - set(coordinates[ANALOG]))


SNR = Setting("snr", {"snr": True}, observes=True)


def literal(name: str) -> str:
    """Return the shell pattern that matches a name and nothing else."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in name)

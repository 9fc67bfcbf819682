"""Drift compensation: one digital factor per tile or output, from a readout of the drifted tile."""

from __future__ import annotations

from typing import Literal

from simulator.config.base import TypedConfig

__all__ = [
    "DriftCompensationConfig",
    "GlobalDriftCompensation",
    "GlobalDriftCompensationWithExactReference",
    "PerColumnDriftCompensation",
]


class DriftCompensationConfig(TypedConfig):
    """Family of the drift compensations; see `simulator.devices.BaseDriftCompensation` for the physics."""

    family = "drift compensation"


class GlobalDriftCompensation(DriftCompensationConfig):
    """One factor per tile: mean |y| at programming over mean |y| now (Joshi et al. 2020)."""

    type: Literal["GlobalDriftCompensation"] = "GlobalDriftCompensation"


class GlobalDriftCompensationWithExactReference(DriftCompensationConfig):
    """One factor per tile: mean |y| of the noiseless target weights over mean |y| now."""

    type: Literal["GlobalDriftCompensationWithExactReference"] = "GlobalDriftCompensationWithExactReference"


class PerColumnDriftCompensation(DriftCompensationConfig):
    """One factor per output: mean |y_i| at programming over mean |y_i| now."""

    type: Literal["PerColumnDriftCompensation"] = "PerColumnDriftCompensation"

"""Drift compensations: what is kept of a tile's readout (Joshi et al., Nat. Commun. 11, 2473, 2020)."""

from __future__ import annotations

from torch import Tensor

from simulator import config as described
from simulator.devices.base import SMALLEST_READOUT, BaseDriftCompensation, register_drift_compensation


@register_drift_compensation(described.GlobalDriftCompensation)
class GlobalCompensation(BaseDriftCompensation):
    """One factor per tile, from the mean |y|."""

    def readout(self, y_IO: Tensor) -> Tensor:
        """Return the mean |y| over inputs and outputs, at least 1e-4; a scalar."""
        return y_IO.abs().mean().clamp_(min=SMALLEST_READOUT)


@register_drift_compensation(described.GlobalDriftCompensationWithExactReference)
class GlobalCompensationWithExactReference(GlobalCompensation):
    """One factor per tile, against the noiseless target weights: it makes programming errors good too."""

    exact_reference = True


@register_drift_compensation(described.PerColumnDriftCompensation)
class PerColumnCompensation(BaseDriftCompensation):
    """One factor per output, from its mean |y|."""

    def readout(self, y_IO: Tensor) -> Tensor:
        """Return the mean |y| over inputs, at least 1e-4; one value per output, [out]."""
        return y_IO.abs().mean(dim=0).clamp_(min=SMALLEST_READOUT)

from __future__ import annotations

import pytest
import torch

from simulator.config import (
    DriftCompensationConfig,
    GlobalDriftCompensation,
    GlobalDriftCompensationWithExactReference,
    PerColumnDriftCompensation,
)
from simulator.devices import build_drift_compensation

Y_IO = torch.tensor([[1.0, -2.0], [3.0, 0.0]])  # two inputs, two outputs


def test_global_readout_is_the_mean_magnitude():
    assert build_drift_compensation(GlobalDriftCompensation()).readout(Y_IO) == torch.tensor(1.5)


def test_per_column_readout_is_the_mean_magnitude_of_every_output():
    assert build_drift_compensation(PerColumnDriftCompensation()).readout(Y_IO).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("config", [GlobalDriftCompensation(), PerColumnDriftCompensation()])
def test_readout_of_nothing_is_floored(config):
    assert build_drift_compensation(config).readout(torch.zeros(3, 2)).unique().tolist() == [
        pytest.approx(1e-4)
    ]


@pytest.mark.parametrize("config", [GlobalDriftCompensation(), PerColumnDriftCompensation()])
def test_factor_undoes_a_common_decay(config):
    compensation = build_drift_compensation(config)
    factor = compensation.factor(compensation.readout(Y_IO), compensation.readout(0.8 * Y_IO))
    assert torch.allclose(factor, torch.tensor(1.25))


@pytest.mark.parametrize(
    ("config", "exact"),
    [
        (GlobalDriftCompensation(), False),
        (GlobalDriftCompensationWithExactReference(), True),
        (PerColumnDriftCompensation(), False),
    ],
)
def test_only_the_exact_reference_is_noiseless(config: DriftCompensationConfig, exact):
    assert build_drift_compensation(config).exact_reference is exact


def test_no_configuration_is_no_compensation():
    assert build_drift_compensation(None) is None

"""The golden runner names the quirk that explains a deviation, and no other."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from simulator.config import InferenceRPUConfig
from tests.golden import gradients, noise_models
from tests.golden.common import cases_of


def test_a_tile_whose_scaled_output_reaches_the_bound_does_not_reach_it_itself():
    config = InferenceRPUConfig.model_validate(
        {"forward": {"out_bound": 2.0}, "mapping": {"weight_scaling_omega": 0.5}}
    )
    _, tile = gradients._layer(np.full((1, 2), 2.0, np.float32), config)
    assert tile.mapping_scale.item() == 4.0
    y = torch.tensor([[4.0]]).numpy()
    assert not gradients._reaches_the_bound(y, tile, config)
    assert gradients._reaches_the_bound(2 * y, tile, config)


@pytest.mark.parametrize(("g_max", "quirk"), [(25.0, 41), (40.0, 40)])
def test_devices_of_the_published_g_max_deviate_by_the_scale_alone(g_max, quirk, monkeypatch):
    case, arrays = next(
        (case, arrays)
        for case, arrays in cases_of("noise_model")
        if case["config"]["noise_model"] == {"type": "ReRamWan2022NoiseModel"}
    )
    other = copy.deepcopy(case)
    other["config"]["noise_model"]["g_max"] = g_max
    monkeypatch.setattr(noise_models, "_wan_undone", lambda *_: iter(()))  # its numbers are of another g_max
    assert noise_models.check(other, arrays, n_rep=20_000).quirk == quirk

"""The library example of the documentation, as it is written there."""

from __future__ import annotations

import pytest
import torch

EXAMPLE = """
from simulator import InferenceRPUConfig, PCMLikeNoiseModel, GlobalDriftCompensation, WeightNoiseType
from examples.resnet import resnet34
from simulator import AnalogLinear, AnalogSequential, convert_to_analog, program_analog_weights, drift_analog_weights
rpu_config = InferenceRPUConfig()
rpu_config.forward.inp_res = 1 / 64.0
rpu_config.forward.w_noise_type = WeightNoiseType.ADDITIVE_CONSTANT
rpu_config.forward.w_noise = 0.02
rpu_config.noise_model = PCMLikeNoiseModel(g_max=25.0)
rpu_config.drift_compensation = GlobalDriftCompensation()
model = AnalogSequential(convert_to_analog(resnet34(), rpu_config, weight_scaling_omega=1.0)).eval()
program_analog_weights(model); drift_analog_weights(model, t_inference=3600.0)
"""


@pytest.mark.slow
def test_example_runs_as_written():
    scope = {}
    exec(EXAMPLE, scope)  # noqa: S102 - it is the text above
    with torch.inference_mode():
        logits = scope["model"](torch.zeros(1, 3, 32, 32))
    assert logits.shape == (1, 1000)
    assert torch.isfinite(logits).all()

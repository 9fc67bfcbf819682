"""Conversion is checked layer by layer; the check itself finds what is wrong."""

from __future__ import annotations

import pytest
from torch import nn

from simulator.config import preset
from simulator.nn import analog_layers, convert_to_analog, perfect_error
from tests.unit.simulator.nn.configs import noiseless

LAYERS = [
    nn.Linear(300, 20),
    nn.Linear(3, 5, bias=False),
    nn.Conv1d(4, 8, 3, padding="same", dilation=2, padding_mode="reflect"),
    nn.Conv2d(6, 6, 3, groups=6, stride=3, padding=4, padding_mode="circular"),
    nn.Conv2d(40, 8, 5, padding=(2, 1), stride=(1, 2)),
    nn.Conv3d(4, 8, 3, groups=2, padding=1, padding_mode="replicate"),
]
CONFIGS = {
    "plain": noiseless(),
    "small tiles": noiseless(mapping={"max_input_size": 7, "max_output_size": 3}),
    "analog bias": noiseless(mapping={"digital_bias": False, "weight_scaling_omega": 0.6}),
    "preset": preset("StandardHWATrainingPreset"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_perfect_layer_is_the_digital_one_to_64_bits(layer, config):
    ((_, analog),) = analog_layers(convert_to_analog(nn.Sequential(layer), config))
    assert perfect_error(analog, layer) < 1e-12


def test_conversion_refuses_a_layer_that_computes_something_else(monkeypatch):
    from simulator.nn.linear import AnalogLinear

    forward = AnalogLinear.forward
    monkeypatch.setattr(AnalogLinear, "forward", lambda self, x: forward(self, x) * (1 + 1e-5))
    with pytest.raises(RuntimeError, match=r"^0: with perfect products, AnalogLinear differs .* by 1e-05"):
        convert_to_analog(nn.Sequential(nn.Linear(4, 4)), noiseless())
    convert_to_analog(nn.Sequential(nn.Linear(4, 4)), noiseless(), check=False)


def test_the_check_leaves_the_layer_alone():
    config = preset("StandardHWATrainingPreset")
    model = convert_to_analog(nn.Sequential(nn.Linear(4, 4)), config)
    (tile,) = model[0].tiles
    assert isinstance(tile.input_range, nn.Parameter)
    assert not tile.plan.is_perfect

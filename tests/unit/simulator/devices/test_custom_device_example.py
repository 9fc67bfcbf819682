"""The example of a device of one's own does what it says."""

import importlib

import pytest
import torch
from torch import nn

from simulator import InferenceRPUConfig, convert_to_analog, program_analog_weights
from simulator.config import ConverterConfig, NoiseModelConfig


@pytest.fixture(scope="module")
def example():
    """The example's module; the types that it registers are forgotten after these tests."""
    before = [(family, dict(family.members)) for family in (ConverterConfig, NoiseModelConfig)]
    yield importlib.import_module("examples.custom_device")
    for family, members in before:
        family.members.clear()
        family.members.update(members)


def test_its_conductances_drift_twice_as_fast_above_the_knee(example):
    read = example.conductances(
        example.Knee(example.KneeNoiseModel()), torch.tensor([20.0, 40.0]).expand(4000, 2)
    )
    decades = torch.tensor(example.TIMES_S[-1]).log()
    slow, fast = (-(read[-1] / read[0]).mean(dim=0).log() / decades).tolist()
    assert 0.0018 < slow < 0.0022
    assert 0.0036 < fast < 0.0044


def test_a_network_on_it_gets_worse_with_time(example):
    found = example.errors()
    assert found[example.TIMES_S[0]] < 0.1
    assert found[example.TIMES_S[-1]] > 2 * found[example.TIMES_S[0]]


def test_what_it_programs_comes_back_without_noise(example):
    ideal = example.KneeNoiseModel(programming_std_us=0, nu=0, nu_std=0, read_std_us=0)
    config = InferenceRPUConfig(noise_model=ideal, drift_compensation=None)
    config.forward.is_perfect = True
    layer = nn.Linear(5, 3)
    model = convert_to_analog(nn.Sequential(layer), config).eval()
    program_analog_weights(model)
    x = torch.randn(4, 5)
    assert torch.allclose(model(x), layer(x), atol=1e-5)


def test_it_draws_a_picture_and_says_how_it_is_called(example, tmp_path, capsys):
    assert example.main([str(tmp_path / "g.png")]) == 0
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert "relative error" in capsys.readouterr().out
    assert example.main([]) == 2
    assert "usage" in capsys.readouterr().err

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

from simulator.config import resolve
from simulator.nn import coarse_readouts, convert_to_analog, program_analog_weights
from tests.unit.simulator.nn.configs import normal

CASES = Path(__file__).parents[1] / "config" / "data" / "config-coarse-adc-compensation.json"


def programmed(node):
    network = nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 4))
    for index, parameter in enumerate(network.parameters()):
        parameter.data = 0.3 * normal(*parameter.shape, seed=index)
    analog = convert_to_analog(network, resolve(node)).eval()
    program_analog_weights(analog)
    return analog


def test_readouts_below_one_code_are_told_with_their_tiles():
    coarse, without = (case["rpu_config"] for case in json.loads(CASES.read_text()))
    found = coarse_readouts(programmed(coarse))
    assert [(one.layer, one.row, one.column) for one in found] == [("0", 0, 0), ("2", 0, 0)]
    assert all(one.share > 0.9 and one.smallest < one.code for one in found)
    assert found[0].code == pytest.approx(24 * 0.0714285714)
    assert "one step of the ADC is 1.71" in str(found[0])
    assert coarse_readouts(programmed(without)) == []


@pytest.mark.parametrize(
    "overrides",
    [{}, {"forward": {"is_perfect": True}}, {"drift_compensation": {"type": "PerColumnDriftCompensation"}}],
)
def test_an_eight_bit_converter_reads_enough(overrides):
    assert coarse_readouts(programmed({"preset": "PCMExamplePreset", "overrides": overrides})) == []


def test_a_scale_of_the_inputs_scales_the_code():
    forward = {"noise_management": "Constant", "nm_thres": 8.0}
    found = coarse_readouts(programmed({"preset": "PCMExamplePreset", "overrides": {"forward": forward}}))
    assert found[0].code == pytest.approx(8 * 24 / 256)


def test_a_model_that_is_not_programmed_has_no_readouts():
    network = nn.Sequential(nn.Linear(3, 2))
    assert coarse_readouts(convert_to_analog(network, resolve({"preset": "PCMExamplePreset"}))) == []

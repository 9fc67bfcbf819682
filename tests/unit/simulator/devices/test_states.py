"""Finitely many states and stuck devices: exact levels, binomial shares, the expected weights, at all times."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from simulator.config import InferenceRPUConfig, NoiseModelConfig
from simulator.devices import build_noise_model
from simulator.devices.states import cells_with_stuck, nearest_level
from simulator.nn import convert_to_analog, drift_analog_weights, program_analog_weights
from simulator.rng import Purpose, generator

DAY_S = 86400.0
CURVE = {"type": "table", "g": [0.0, 25.0], "value": [0.5, 1.0]}
TABLE = {"g_lst": [0.0, 25.0], "nu_mean_lst": [0.1, 0.05], "nu_std_lst": [0.02, 0.01]}
MODELS = {
    "PCMLikeNoiseModel": {},
    "CustomDriftPCMLikeNoiseModel": {"custom_drift_model": TABLE},
    "HermesNoiseModel": {},
    "StateIndependentNoiseModel": {},
    "ReRamWan2022NoiseModel": {},
    "ReRamCMONoiseModel": {},
    "MeasuredNoiseModel": {"programming": CURVE, "g_max": 25.0},
}
SILENT = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}
STATES = ["net", "per_device"]


def model_of(name="PCMLikeNoiseModel", **options):
    return build_noise_model(
        NoiseModelConfig.members[name].model_validate({"type": name, **MODELS[name], **options})
    )


def test_every_noise_model_is_tried():
    built_in = {n for n, one in NoiseModelConfig.members.items() if one.__module__.startswith("simulator.")}
    assert built_in == MODELS.keys()


@pytest.mark.parametrize(
    ("states", "levels"), [(2, [0.0, 25.0]), (3, [0.0, 12.5, 25.0]), (6, [0.0, 5.0, 10.0, 15.0, 20.0, 25.0])]
)
def test_levels_are_evenly_spaced_and_the_nearest_is_taken(states, levels):
    g_us = torch.linspace(0.0, 25.0, 501)
    found = nearest_level(g_us, states, 0.0, 25.0)
    assert sorted(set(found.tolist())) == pytest.approx(levels)
    assert (found - g_us).abs().max() <= 25.0 / (states - 1) / 2 + 1e-5


@pytest.mark.parametrize("device_state", STATES)
@pytest.mark.parametrize("states", [2, 5, 128])
def test_without_noise_a_pair_has_twice_as_many_weights_less_one(states, device_state, streams, weights):
    model = model_of(states=states, device_state=device_state, **SILENT)
    programmed = streams.program(model, weights)
    largest = weights.abs().max()
    meant = (weights / largest * (states - 1)).round() / (states - 1) * largest
    torch.testing.assert_close(programmed.weights_OI, meant, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(streams.drift(model, programmed, DAY_S), meant, rtol=1e-5, atol=1e-6)
    grid = torch.linspace(-1, 1, 2001).unsqueeze(0)
    assert len(set(streams.program(model, grid).weights_OI.flatten().tolist())) == 2 * states - 1


def test_the_levels_begin_at_the_smallest_conductance(streams, weights):
    converter = {"type": "SinglePairConductanceConverter", "g_max": 20.0, "g_min": 4.0}
    model = model_of(states=3, device_state="per_device", g_converter=converter, g_max=None, **SILENT)
    conductances = torch.stack(streams.program(model, weights).conductances_us)
    assert sorted(set(conductances.flatten().tolist())) == [4.0, 12.0, 20.0]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("device_state", STATES)
def test_a_stuck_device_keeps_its_conductance_at_all_times(name, device_state, streams, weights):
    model = model_of(name, stuck_at_zero=0.3, stuck_at_max=0.2, device_state=device_state)
    programmed = streams.program(model, weights)
    stuck = torch.stack(programmed.stuck_us)
    ends = [model.converter.g_min, model.converter.g_max]
    assert sorted(set(stuck[~stuck.isnan()].tolist())) == pytest.approx(ends)
    whole = (~stuck.isnan()).all(dim=0)  # cells whose every device is stuck are what they are
    assert whole.any()
    params = model.converter.convert_to_conductances(weights)[1]
    meant = model.converter.convert_back_to_weights(list(stuck.nan_to_num(0.0)), params)
    for found in (programmed.weights_OI, *(streams.drift(model, programmed, t) for t in (1.0, DAY_S))):
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found[whole], meant[whole])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("device_state", STATES)
def test_the_others_are_programmed_as_they_are_without_stuck_devices(name, device_state, streams, weights):
    plain = streams.program(model_of(name, device_state=device_state), weights)
    model = model_of(name, stuck_at_zero=0.1, stuck_at_max=0.1, device_state=device_state)
    programmed = streams.program(model, weights)
    others = ~cells_with_stuck(programmed.stuck_us)
    assert 0.5 < others.float().mean() < 0.9
    assert torch.equal(programmed.weights_OI[others], plain.weights_OI[others])


@pytest.mark.parametrize("device_state", STATES)
def test_the_share_of_stuck_devices_is_binomial(device_state, streams):
    model = model_of(stuck_at_zero=0.07, stuck_at_max=0.02, device_state=device_state)
    stuck = torch.stack(streams.program(model, torch.rand(300, 400)).stuck_us)
    devices = stuck.numel()
    for level, share in ((0.0, 0.07), (25.0, 0.02)):
        deviation = math.sqrt(devices * share * (1 - share))
        assert abs(float((stuck == level).sum()) - devices * share) < 4 * deviation
    both = float(((stuck == 0.0)[0] & (stuck == 0.0)[1]).sum())
    assert abs(both - devices / 2 * 0.07**2) < 4 * math.sqrt(devices / 2 * 0.07**2)


@pytest.mark.parametrize("device_state", STATES)
@pytest.mark.parametrize("t_s", [0.0, DAY_S])
def test_weights_are_what_the_shares_make_of_them_on_average(device_state, t_s, streams):
    """A device keeps its part of the weight with 1 - p - q; what is shorted cancels between g+ and g-."""
    p, q = 0.2, 0.1
    model = model_of(stuck_at_zero=p, stuck_at_max=q, device_state=device_state, **SILENT)
    targets = torch.tensor([0.5, -0.25, 0.0, 1.0])
    programmed = streams.program(model, targets.unsqueeze(1).repeat(1, 40_000))
    found = streams.drift(model, programmed, t_s).mean(dim=1)
    spread = 4 * 0.6 / math.sqrt(40_000)
    torch.testing.assert_close(found, targets * (1 - p - q), rtol=0, atol=spread)


@pytest.mark.parametrize("device_state", STATES)
def test_all_open_is_nothing_and_all_shorted_cancels(device_state, streams, weights):
    for share in ("stuck_at_zero", "stuck_at_max"):
        model = model_of(**{share: 1.0}, device_state=device_state)
        programmed = streams.program(model, weights)
        assert not programmed.weights_OI.any()
        assert not streams.drift(model, programmed, DAY_S).any()


def test_stuck_devices_belong_to_the_chip_and_not_to_the_time(streams, other_streams, weights):
    model = model_of(stuck_at_zero=0.2)
    first, again, other = (one.program(model, weights) for one in (streams, streams, other_streams))
    assert torch.equal(cells_with_stuck(first.stuck_us), cells_with_stuck(again.stuck_us))
    assert not torch.equal(cells_with_stuck(first.stuck_us), cells_with_stuck(other.stuck_us))


def test_stuck_devices_need_a_stream(streams, weights):
    with pytest.raises(ValueError, match="pass the stream"):
        model_of(stuck_at_zero=0.2).program(
            weights, programming=streams(Purpose.PROGRAMMING), drift=streams(Purpose.DRIFT)
        )


@pytest.mark.parametrize(
    "options",
    [
        {"states": 1},
        {"states": 2.5},
        {"stuck_at_zero": -0.1},
        {"stuck_at_max": 1.1},
        {"stuck_at_zero": 0.6, "stuck_at_max": 0.6},
    ],
)
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ValidationError):
        model_of(**options)


def test_a_layer_loses_the_share_of_its_output_that_is_open():
    """The mean over chips of a layer's output is (1 - p) of the digital one."""
    stream = generator(1, Purpose.INITIAL_WEIGHTS)
    network = nn.Linear(64, 8, bias=False)
    network.weight.data = torch.rand(8, 64, generator=stream)
    config = InferenceRPUConfig.model_validate(
        {
            "forward": {"is_perfect": True},
            "mapping": {"weight_scaling_omega": 1.0},
            "noise_model": {"type": "PCMLikeNoiseModel", "stuck_at_zero": 0.25, **SILENT},
            "drift_compensation": None,
        }
    )
    analog = convert_to_analog(nn.Sequential(network), config, seed=3).eval()
    x = torch.rand(1, 64, generator=stream)
    outputs = []
    for repeat in range(60):
        program_analog_weights(analog, repeat=repeat)
        drift_analog_weights(analog, DAY_S)
        with torch.no_grad():
            outputs.append(analog(x))
    with torch.no_grad():
        digital = network(x)
    share = (torch.cat(outputs) / digital).mean(dim=0)
    # one output of one chip spreads by sqrt(p (1 - p) sum (w x)^2) / sum (w x), about 0.08 here
    torch.testing.assert_close(share, torch.full((8,), 0.75), rtol=0, atol=4 * 0.08 / math.sqrt(60))

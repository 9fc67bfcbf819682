"""Recurrent layers on tiles against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from simulator.nn import (
    AnalogGRU,
    AnalogLSTM,
    AnalogRNN,
    analog_layers,
    conversion_report,
    convert_to_analog,
    convert_to_digital,
    drift_analog_weights,
    post_update_step,
    program_analog_weights,
)
from tests.unit.simulator.nn.configs import noiseless, normal, perfect

KINDS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
OPTIONS = {
    "plain": {},
    "deep": {"num_layers": 3},
    "both ways": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "no bias": {"bias": False},
}
TILES = {"max_input_size": 3, "max_output_size": 5, "weight_scaling_omega": 0.7}


def pair(kind, config, **options):
    torch.manual_seed(3)
    digital = KINDS[kind](4, 6, **options).eval()
    return digital, convert_to_analog(nn.Sequential(digital), config)[0].eval()


def same(one, other, tolerance=1e-5):
    flat = [
        [result[0], *(result[1] if isinstance(result[1], tuple) else (result[1],))] for result in (one, other)
    ]
    return all(
        a.shape == b.shape and torch.allclose(a, b, atol=tolerance) for a, b in zip(*flat, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_perfect_layer_gives_outputs_and_states_of_the_digital_one(kind, options):
    digital, analog = pair(kind, perfect(mapping=TILES), **options)
    x = normal(7, 7, 4)
    assert same(digital(x), analog(x))
    state = digital(x)[1]
    assert same(digital(x, state), analog(x, state))


@pytest.mark.parametrize("kind", KINDS)
def test_sequence_without_batch(kind):
    digital, analog = pair(kind, perfect())
    x = normal(5, 4)
    state = digital(x)[1]
    assert same(digital(x, state), analog(x, state))


def test_relu_networks_stay_relu_networks():
    digital, analog = pair("rnn", perfect(), nonlinearity="relu")
    assert same(digital(normal(5, 2, 4)), analog(normal(5, 2, 4)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_way_back_is_torchs_layer_with_the_same_numbers(kind, options):
    digital, analog = pair(kind, noiseless(mapping=TILES), **options)
    before = torch.get_rng_state()
    back = convert_to_digital(nn.Sequential(analog))[0]
    assert torch.equal(before, torch.get_rng_state())
    assert type(back) is type(digital)
    for (name, weight), (_, other) in zip(digital.named_parameters(), back.named_parameters(), strict=True):
        assert torch.allclose(weight, other, atol=1e-6), name
    assert same(digital(normal(7, 7, 4)), back(normal(7, 7, 4)))


@pytest.mark.parametrize(("kind", "cls"), [("rnn", AnalogRNN), ("lstm", AnalogLSTM), ("gru", AnalogGRU)])
def test_every_matrix_is_a_layer_on_tiles_with_its_own_name(kind, cls):
    _, analog = pair(kind, perfect(mapping=TILES), num_layers=2, bidirectional=True)
    assert isinstance(analog, cls)
    model = nn.Sequential(analog)
    names = [name for name, _ in analog_layers(model)]
    ways = [f"l{layer}{way}" for layer in range(2) for way in ("", "_reverse")]
    assert names == [f"0.cells.{way}.{part}" for way in ways for part in ("input", "hidden")]
    assert [layer.layer_name for _, layer in analog_layers(model)] == names
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
    assert conversion_report(model).devices == 2 * gates * 6 * (2 * (4 + 6) + 2 * (12 + 6))


def test_every_step_has_read_noise_of_its_own_and_every_chip_other_weights():
    _, analog = pair("lstm", noiseless(forward={"out_noise": 0.1}))
    model = nn.Sequential(analog)
    x = torch.ones(4, 2, 4)
    program_analog_weights(model, repeat=0)
    first = model(x)[0]
    assert not torch.equal(first, model(x)[0])
    program_analog_weights(model, repeat=0)
    assert torch.equal(first, model(x)[0])
    noisy = pair("lstm", perfect())[1]
    for repeat in (0, 1):
        program_analog_weights(nn.Sequential(noisy), repeat=repeat)
    drift_analog_weights(nn.Sequential(noisy), t_inference=86400.0)
    assert not same(noisy(x), pair("lstm", perfect())[1](x), tolerance=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_training_steps_reach_all_parameters(kind):
    config = noiseless(
        modifier={"type": "AddNormal", "std_dev": 0.05}, clip={"type": "FixedValue", "fixed_value": 0.3}
    )
    _, analog = pair(kind, config, num_layers=2)
    model = nn.Sequential(analog).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(normal(5, 3, 4))[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimiser.step()
    post_update_step(model)
    assert all(layer.weight.abs().max() <= 0.3 for _, layer in analog_layers(model))


def test_projections_stay_digital_and_say_so():
    model = convert_to_analog(nn.Sequential(nn.LSTM(4, 6, proj_size=2)), perfect())
    assert conversion_report(model).digital == {"0": "its projection has no analog form"}


def test_what_cannot_be_taken_is_said():
    analog = pair("gru", perfect())[1]
    with pytest.raises(TypeError, match="pad_packed_sequence"):
        analog(pack_sequence([normal(3, 4), normal(2, 4)]))
    with pytest.raises(ValueError, match=r"expected \[time, batch, 4\]"):
        analog(normal(3, 2, 5))

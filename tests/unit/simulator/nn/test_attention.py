"""Attention with analog projections against torch's own, alone and within torch's transformer layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from simulator.nn import (
    analog_layers,
    conversion_report,
    convert_to_analog,
    convert_to_digital,
    program_analog_weights,
)
from tests.unit.simulator.nn.configs import noiseless, normal, perfect

OPTIONS = {
    "plain": {},
    "batch first": {"batch_first": True},
    "other keys": {"kdim": 6, "vdim": 10},
    "no bias": {"bias": False},
}


def pair(config, **options):
    torch.manual_seed(4)
    digital = nn.MultiheadAttention(8, 2, **options).eval()
    return digital, convert_to_analog(nn.Sequential(digital), config)[0].eval()


def inputs(options):
    shapes = ((3, 2, 8), (5, 2, options.get("kdim", 8)), (5, 2, options.get("vdim", 8)))
    tensors = [normal(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    return [x.transpose(0, 1) for x in tensors] if options.get("batch_first") else tensors


def same(one, other):
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


HIDDEN = torch.tensor([[False, True, False, False, True], [False, False, False, True, False]])
MASKS = {
    "none": {},
    "padding": {"key_padding_mask": HIDDEN},
    "mask": {"attn_mask": torch.ones(3, 5).tril(1) == 0},
    "added": {"attn_mask": normal(3, 5, seed=9)},
    "both, per head": {"attn_mask": normal(4, 3, 5, seed=9), "key_padding_mask": torch.zeros(2, 5)},
    "weights of all heads": {"average_attn_weights": False},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_perfect_projections_give_outputs_and_weights_of_the_digital_layer(options, masks):
    digital, analog = pair(perfect(mapping={"max_input_size": 3, "max_output_size": 3}), **options)
    assert same(digital(*inputs(options), **masks), analog(*inputs(options), **masks))


def test_sequences_without_batch():
    digital, analog = pair(perfect())
    q, k, v = (x[:, 0] for x in inputs({}))
    assert same(digital(q, k, v, key_padding_mask=HIDDEN[0]), analog(q, k, v, key_padding_mask=HIDDEN[0]))


def test_weights_are_given_on_demand():
    _, analog = pair(perfect())
    assert analog(*inputs({}), need_weights=False)[1] is None


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_way_back_is_torchs_layer_with_the_same_numbers(options):
    digital, analog = pair(noiseless(mapping={"weight_scaling_omega": 0.5}), **options)
    back = convert_to_digital(nn.Sequential(analog))[0]
    state = digital.state_dict()
    assert back.state_dict().keys() == state.keys()
    assert all(torch.allclose(state[name], value, atol=1e-6) for name, value in back.state_dict().items())


def test_four_matrices_are_on_tiles_under_their_names():
    _, analog = pair(perfect())
    assert [name for name, _ in analog_layers(nn.Sequential(analog))] == [
        "0.query",
        "0.key",
        "0.value",
        "0.output",
    ]


def test_added_keys_stay_digital_and_say_so():
    model = convert_to_analog(nn.Sequential(nn.MultiheadAttention(8, 2, add_bias_kv=True)), perfect())
    assert conversion_report(model).digital == {"0": "added keys and values have no analog form"}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("digital", [(), ("*self_attn",)], ids=["analog attention", "digital attention"])
def test_torchs_transformer_does_not_bypass_the_tiles(digital):
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    x, padding = normal(2, 5, 8), HIDDEN.clone()
    padding[:] = torch.tensor([False, False, False, True, True])
    with torch.inference_mode():
        exact = convert_to_analog(encoder, perfect(), digital=digital).eval()
        hidden = padding.unsqueeze(-1)
        expected = encoder(x, src_key_padding_mask=padding).masked_fill(hidden, 0)
        found = exact(x, src_key_padding_mask=padding).masked_fill(hidden, 0)
        assert torch.allclose(found, expected, atol=1e-5)
        noisy = convert_to_analog(encoder, noiseless(forward={"out_noise": 0.2}), digital=digital).eval()
        program_analog_weights(noisy)
        assert not torch.equal(noisy(x), noisy(x))
    back = convert_to_digital(exact)
    assert back.use_nested_tensor == encoder.use_nested_tensor
    assert [one.activation_relu_or_gelu for one in back.layers] == [1, 1]
    assert torch.allclose(back(x), encoder(x), atol=1e-5)


def test_causal_needs_its_mask():
    _, analog = pair(perfect())
    with pytest.raises(ValueError, match="attn_mask"):
        analog(*inputs({}), is_causal=True)

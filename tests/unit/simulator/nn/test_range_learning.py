"""How input ranges learn: what saves time and memory leaves every gradient as it is."""

from __future__ import annotations

import contextlib

import pytest
import torch

from simulator.config import InferenceRPUConfig
from simulator.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear
from simulator.rng import Purpose, generator
from simulator.tile import input_range
from simulator.tile.fast.static import StaticPass

LAYERS = {
    "linear": (AnalogLinear, (40, 30), {}, (300, 40)),
    "sequence": (AnalogLinear, (40, 30), {}, (10, 30, 40)),
    "conv1d": (AnalogConv1d, (6, 20, 3), {"padding": 2, "dilation": 2}, (4, 6, 90)),
    "conv2d": (AnalogConv2d, (5, 12, 3), {"stride": 2, "padding": 1}, (6, 5, 21, 19)),
    "conv3d": (AnalogConv3d, (3, 8, 3), {"padding": 1, "stride": (1, 2, 1)}, (2, 3, 7, 9, 8)),
    "pointwise": (AnalogConv2d, (6, 12, 1), {}, (6, 6, 21, 19)),
    "grouped": (AnalogConv2d, (6, 12, 3), {"groups": 2}, (6, 6, 21, 19)),
    "circular": (AnalogConv2d, (3, 12, 3), {"padding": 1, "padding_mode": "circular"}, (6, 3, 9, 9)),
}
FORWARD = {
    "static": {"noise_management": "None", "bound_management": "None", "out_noise": 0.1},
    "wires": {"noise_management": "None", "bound_management": "None", "ir_drop": 1.0, "out_bound": 0.7},
}
MANAGED = {"manage_output_clipping": True, "decay": 0.01, "input_min_percentage": 0.5}


def gradients(name, forward, *, of_inputs, range_options=None, **mapping):
    """Gradients of a layer's parameters, its ranges, and of the inputs where they are asked for."""
    kind, sizes, options, shape = LAYERS[name]
    config = {
        "forward": forward,
        "mapping": mapping,
        "pre_post": {"input_range": {"enable": True, "init_value": 2.6, **(range_options or {})}},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = kind(*sizes, **options, rpu_config=InferenceRPUConfig.model_validate(config))
        x = torch.randn(shape).requires_grad_(of_inputs)
    for tile in layer.tiles:
        tile.range_follows_data = False
    y = layer(x)
    y.backward(torch.randn(y.shape, generator=generator(3, Purpose.VERIFICATION)))
    found = {key: value.grad for key, value in layer.named_parameters() if value.grad is not None}
    return found | ({"x": x.grad} if of_inputs else {})


def spy_on_learning_from_few(monkeypatch):
    """List, for each tile that tries to learn from its clipped inputs alone, whether it did."""
    tried = []

    def told(learn):
        def spy(*args):
            found = learn(*args)
            tried.append(found is not None)
            return found

        return spy

    for kind, name in ((input_range.RangeLearner, "gradient"), (StaticPass, "learned")):
        monkeypatch.setattr(kind, name, told(getattr(kind, name)))
    return tried


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("forward", FORWARD.values(), ids=FORWARD)
@pytest.mark.parametrize("range_options", [{}, MANAGED], ids=["", "managed"])
def test_a_first_layers_range_learns_as_any_other(name, forward, range_options, monkeypatch):
    learned = spy_on_learning_from_few(monkeypatch)
    options = {"range_options": range_options, "max_input_size": 24}
    alone = gradients(name, forward, of_inputs=False, **options)
    assert any(learned)
    together = gradients(name, forward, of_inputs=True, **options)
    together.pop("x")
    assert alone.keys() == together.keys()
    assert any("input_range" in key and float(value.abs()) > 0 for key, value in alone.items())
    for key, value in alone.items():
        torch.testing.assert_close(value, together[key], rtol=1e-4, atol=1e-5)


def test_a_range_whose_inputs_go_another_way_too_learns_from_all_of_it():
    """Series resistance is relative to a current that all inputs add to."""
    forward = {**FORWARD["static"], "r_series": 0.02, "v_offset_std": 0.1, "v_offset_w_min": -0.6}
    alone = gradients("conv2d", forward, of_inputs=False)
    together = gradients("conv2d", forward, of_inputs=True)
    for key, value in alone.items():
        torch.testing.assert_close(value, together[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("forward", FORWARD.values(), ids=FORWARD)
def test_many_clipped_inputs_are_looked_at_together(name, forward, monkeypatch):
    tried = spy_on_learning_from_few(monkeypatch)
    options = {"range_options": {"init_value": 0.5}}
    alone = gradients(name, forward, of_inputs=False, **options)
    assert not any(tried)
    together = gradients(name, forward, of_inputs=True, **options)
    for key, value in alone.items():
        torch.testing.assert_close(value, together[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("forward", FORWARD.values(), ids=FORWARD)
def test_inputs_that_are_converted_anew_give_the_same_gradients(name, forward, monkeypatch):
    monkeypatch.setattr(
        "simulator.tile.path.runs_in_one_step", lambda *_: False
    )  # which does not keep them either
    converted = []
    clipped = input_range._clipped
    monkeypatch.setattr(input_range, "_clipped", lambda *args: converted.append(1) or clipped(*args))
    anew = gradients(name, forward, of_inputs=True)
    times, converted[:] = len(converted), []
    monkeypatch.setattr("simulator.nn.tile.passes.converted_again", lambda *_: contextlib.nullcontext())
    kept = gradients(name, forward, of_inputs=True)
    assert times > len(converted)
    assert all(torch.equal(anew[key], kept[key]) for key in kept)


@pytest.mark.parametrize("needs_gradient", [False, True])
@pytest.mark.parametrize("what", ["inputs", "range"])
def test_what_was_overwritten_before_the_backward_pass_is_told_of(what, needs_gradient):
    config = {"forward": FORWARD["static"], "pre_post": {"input_range": {"enable": True, "init_value": 2.6}}}
    layer = AnalogLinear(8, 4, rpu_config=InferenceRPUConfig.model_validate(config))
    x = torch.randn(5, 8).requires_grad_(needs_gradient).clone()
    y = layer(x)
    with torch.no_grad():
        (x if what == "inputs" else layer.tiles[0].input_range).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def learned_range(**forward):
    """The range after 300 steps from far too small a one, of a layer that should give what it gives digitally."""
    options = {"bound_management": "None", "out_noise": 0.0, **forward}
    range_ = {"enable": True, "init_value": 0.5, "init_from_data": 0, "decay": 0.001}
    config = InferenceRPUConfig.model_validate({"forward": options, "pre_post": {"input_range": range_}})
    stream = generator(4, Purpose.VERIFICATION)
    layer = AnalogLinear(16, 8, bias=False, rpu_config=config).train()
    layer.set_weights(torch.rand(8, 16, generator=stream) - 0.5)
    optimiser = torch.optim.SGD([layer.tiles[0].input_range], lr=0.05)
    for _ in range(300):
        x = torch.randn(64, 16, generator=stream)
        optimiser.zero_grad()
        (layer(x) - x @ layer.weight.detach().t()).square().sum(dim=1).mean().backward()
        optimiser.step()
    return layer.tiles[0].input_range.item()


@pytest.mark.parametrize("management", ["None", "AbsMax", "Constant"])
@pytest.mark.parametrize("steps", [127, 29, 0.04])
def test_a_range_learns_whatever_the_top_code_is(management, steps):
    even = learned_range(noise_management=management, inp_res=126)
    assert even > 2
    assert learned_range(noise_management=management, inp_res=steps) == pytest.approx(even, rel=0.05)


@pytest.mark.parametrize(
    "forward",
    [
        {"noise_management": "None", "inp_bound": 0.8},
        {"noise_management": "AbsMax", "inp_bound": 0.8},
        {"noise_management": "Constant", "nm_thres": 0.7},
        {"noise_management": "Constant", "nm_thres": 0.7, "bound_management": "Iterative"},
        {"noise_management": "Max"},
    ],
)
def test_a_range_learns_from_what_the_dac_clips_after_it(forward):
    assert learned_range(**forward) > 2

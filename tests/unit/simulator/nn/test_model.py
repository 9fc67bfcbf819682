from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from simulator.config import InferenceRPUConfig
from simulator.nn import (
    AnalogLinear,
    AnalogSequential,
    NotProgrammedWarning,
    analog_layers,
    analog_state,
    bind_noise_context,
    convert_to_analog,
    drift_analog_weights,
    forget_programming,
    noise_context,
    post_update_step,
    program_analog_weights,
    set_modifier_strength,
)
from tests.unit.simulator.nn.configs import SILENT_DEVICES, noiseless, normal, perfect

HOUR, YEAR = 3600.0, 31536000.0
X = normal(16, 12, seed=5)


def converted(config=None, seed=0, **options):
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    for index, parameter in enumerate(model.parameters()):
        parameter.data = 0.4 * normal(*parameter.shape, seed=index)
    return convert_to_analog(model, config or InferenceRPUConfig(), seed=seed, **options).eval()


def outputs(model):
    """What a model answers to the first batch where its noise context is."""
    noise_context(model).at_batch(0)
    with torch.inference_mode():
        return model(X)


def tiles_of(model):
    return [tile for _, layer in analog_layers(model) for _, tile in layer.tile_slots()]


def test_programming_and_drift_change_the_outputs():
    model = converted()
    clean = outputs(model)
    program_analog_weights(model)
    programmed = outputs(model)
    drift_analog_weights(model, HOUR)
    assert not torch.equal(clean, programmed)
    assert not torch.equal(programmed, outputs(model))


def test_equal_seeds_and_repeats_give_equal_outputs_bit_for_bit():
    first, second = converted(seed=3), converted(seed=3)
    for model in (first, second):
        program_analog_weights(model, repeat=4)
        drift_analog_weights(model, HOUR)
    assert torch.equal(outputs(first), outputs(second))


@pytest.mark.parametrize("change", [{"seed": 4}, {"repeat": 5}, {"t": YEAR}])
def test_another_seed_repeat_or_time_gives_other_outputs(change):
    results = []
    for options in ({}, change):
        model = converted(seed=options.get("seed", 3))
        program_analog_weights(model, repeat=options.get("repeat", 4))
        drift_analog_weights(model, options.get("t", HOUR))
        results.append(outputs(model))
    assert not torch.equal(*results)


def test_order_of_times_and_repeats_does_not_matter():
    model = converted()
    found = {}
    for repeats, times in (((0, 1), (HOUR, YEAR)), ((1, 0), (YEAR, HOUR))):
        for repeat in repeats:
            program_analog_weights(model, repeat=repeat)
            for t in times:
                drift_analog_weights(model, t)
                found.setdefault((repeat, t), []).append(outputs(model))
    assert len(found) == 4
    assert all(torch.equal(first, second) for first, second in found.values())


def test_layers_and_tiles_have_noise_of_their_own():
    model = converted(perfect(mapping={"max_input_size": 6, "max_output_size": 4}))
    for _, layer in analog_layers(model):
        nn.init.constant_(layer.weight, 0.5)
    program_analog_weights(model)
    weights = [tile.chip.weights_OI[:4, :4] for tile in tiles_of(model)]
    assert len(weights) == 6
    for index, one in enumerate(weights):
        assert not any(torch.equal(one, other) for other in weights[index + 1 :])


def test_repeat_is_the_next_one_by_default():
    model = converted()
    assert [program_analog_weights(model) for _ in range(3)] == [0, 1, 2]
    assert program_analog_weights(model, repeat=7) == 7
    assert program_analog_weights(model) == 8


def test_repeat_begins_where_the_context_was_moved():
    model = converted()
    noise_context(model).move(repeat=5)
    assert program_analog_weights(model) == 5


def test_silent_devices_keep_the_clean_outputs_at_all_times():
    model = converted(noiseless())
    clean = outputs(model)
    program_analog_weights(model)
    for t in (0.0, HOUR, YEAR):
        drift_analog_weights(model, t)
        torch.testing.assert_close(outputs(model), clean, rtol=1e-4, atol=1e-4)


def test_what_was_programmed_in_inference_mode_serves_gradients():
    model = converted()
    with torch.inference_mode():
        program_analog_weights(model)
        drift_analog_weights(model, HOUR)
    x = X.clone().requires_grad_()
    model(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_compensation_makes_up_for_a_common_drift():
    table = {"g_lst": [0.0, 25.0], "nu_mean_lst": [0.06, 0.06], "nu_std_lst": [0.0, 0.0]}
    drifting = {
        **SILENT_DEVICES,
        "type": "CustomDriftPCMLikeNoiseModel",
        "custom_drift_model": table,
        "drift_scale": 1.0,
    }
    errors = []
    for compensation in (None, {"type": "GlobalDriftCompensation"}, {"type": "PerColumnDriftCompensation"}):
        model = converted(perfect(noise_model=drifting, drift_compensation=compensation))
        clean = outputs(model)
        program_analog_weights(model)
        drift_analog_weights(model, YEAR)
        errors.append(((outputs(model) - clean).norm() / clean.norm()).item())
    assert errors[0] > 0.3
    assert errors[1:] == pytest.approx([0, 0], abs=1e-4)


def test_programming_starts_from_the_present_clean_weights():
    model = converted(noiseless())
    program_analog_weights(model)
    with torch.no_grad():
        for _, layer in analog_layers(model):
            layer.weight.neg_()
    negated = {name: layer.weight.clone() for name, layer in analog_layers(model)}
    program_analog_weights(model)
    for name, layer in analog_layers(model):
        ((_, tile),) = layer.tile_slots()
        torch.testing.assert_close(tile.chip.weights_OI, negated[name])


def test_training_uses_the_clean_weights_of_a_programmed_model():
    model = converted(perfect(drift_compensation=None))
    clean = outputs(model)
    program_analog_weights(model)
    drift_analog_weights(model, YEAR)
    model.train()
    torch.testing.assert_close(outputs(model), clean)


def test_forgotten_programming_leaves_the_clean_model():
    model = converted(perfect())
    clean = outputs(model)
    program_analog_weights(model)
    drift_analog_weights(model, YEAR)
    forget_programming(model)
    torch.testing.assert_close(outputs(model), clean)
    assert program_analog_weights(model) == 0


def test_drift_before_programming_says_what_to_do():
    with pytest.raises(RuntimeError, match="call program_analog_weights first"):
        drift_analog_weights(converted(), HOUR)


@pytest.mark.parametrize("t", [-1.0, float("nan")])
def test_time_before_programming_is_an_error(t):
    model = converted()
    program_analog_weights(model)
    with pytest.raises(ValueError, match="time in s after programming"):
        drift_analog_weights(model, t)


def test_digital_models_have_no_context_and_are_left_alone():
    model = nn.Linear(2, 2)
    assert noise_context(model) is None
    program_analog_weights(model)
    drift_analog_weights(model, HOUR)
    post_update_step(model)
    assert analog_state(model) == {}


def test_hand_made_layers_are_bound_under_their_names():
    model = AnalogSequential(AnalogLinear(4, 4), nn.ReLU(), AnalogLinear(4, 4))
    assert [layer.layer_name for _, layer in analog_layers(model)] == ["0", "2"]
    assert noise_context(model) is noise_context(model[0])


def test_layers_of_several_conversions_need_a_context_of_their_own():
    model = nn.Sequential(converted(), converted())
    with pytest.raises(ValueError, match="call bind_noise_context"):
        noise_context(model)
    assert bind_noise_context(model, seed=9) is noise_context(model)
    assert [layer.layer_name for _, layer in analog_layers(model)] == ["0.0", "0.2", "1.0", "1.2"]


def test_copy_of_a_programmed_model_computes_the_same():
    model = converted()
    program_analog_weights(model)
    drift_analog_weights(model, HOUR)
    assert torch.equal(outputs(copy.deepcopy(model)), outputs(model))


def test_programmed_state_stays_out_of_the_state_dict():
    model = converted()
    before = model.state_dict().keys()
    program_analog_weights(model)
    assert model.state_dict().keys() == before


def test_programmed_state_moves_with_the_model():
    model = converted()
    program_analog_weights(model)
    drift_analog_weights(model, HOUR)
    model.double()
    for tile in tiles_of(model):
        assert tile.chip.weights_OI.dtype == tile.chip.devices.weights_OI.dtype == torch.float64
    drift_analog_weights(model, YEAR)


def test_saved_state_holds_what_is_on_the_tiles():
    model = converted(InferenceRPUConfig(mapping={"weight_scaling_omega": 1.0}))
    program_analog_weights(model)
    drift_analog_weights(model, HOUR)
    state = analog_state(model)
    what = ("target_weights", "mapping_scale", "programmed_weights", "analog_weights", "compensation")
    expected = {f"{layer}.tile_0_0.{name}" for layer in ("0", "2") for name in what}
    assert state.keys() == expected | {"0.bias", "2.bias"}
    assert state["0.tile_0_0.target_weights"].abs().max().item() == pytest.approx(1.0)


def test_clip_and_remap_act_after_an_update():
    config = perfect(
        mapping={"weight_scaling_omega": 1.0, "weight_scaling_columnwise": True},
        clip={"type": "FixedValue", "fixed_value": 0.5},
        remap={"type": "ChannelwiseSymmetric"},
    )
    model = converted(config)
    clean = {name: layer.weight.detach().clone() for name, layer in analog_layers(model)}
    post_update_step(model)
    for name, layer in analog_layers(model):
        limit = 0.5 * clean[name].abs().amax(dim=1, keepdim=True)
        torch.testing.assert_close(layer.weight.detach(), clean[name].clamp(-limit, limit))
        ((slot, tile),) = layer.tile_slots()
        maxima = tile.target_weights(layer.logical_block(slot)).abs().amax(dim=1)
        torch.testing.assert_close(maxima, torch.ones_like(maxima))


def test_modifier_strength_scales_the_noise_and_keeps_the_draw():
    model = converted(perfect(modifier={"type": "AddNormal", "std_dev": 0.1})).train()
    model = nn.Sequential(model[0])
    clean = copy.deepcopy(model).eval()(X)
    deviations = []
    for strength in (1.0, 0.5, 0.0):
        set_modifier_strength(model, strength)
        deviations.append(outputs(model) - clean)
    torch.testing.assert_close(deviations[1], 0.5 * deviations[0], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(deviations[2], torch.zeros_like(clean))


def saved(model):
    """A state dict as it comes back from a file."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_a_state_dict_of_a_programmed_model_says_that_the_chip_is_not_in_it():
    model, other = converted(), converted()
    program_analog_weights(model)
    with pytest.warns(NotProgrammedWarning, match="no programmed chip"):
        other.load_state_dict(saved(model))
    forget_programming(model)
    assert torch.equal(outputs(other), outputs(model))


def test_loading_into_a_programmed_model_does_not_leave_the_old_chip():
    model, other = converted(), converted()
    with torch.no_grad():
        other[0].weight.mul_(0.5)
    program_analog_weights(model)
    with pytest.warns(NotProgrammedWarning):
        model.load_state_dict(saved(other))
    assert torch.equal(outputs(model), outputs(other))
    with pytest.raises(RuntimeError, match="not programmed"):
        drift_analog_weights(model, HOUR)


def test_loading_where_nothing_was_programmed_says_nothing():
    model = converted()
    model.load_state_dict(saved(converted(seed=1)))
    assert all(tile.chip is None for tile in tiles_of(model))


def test_a_copy_keeps_its_chip():
    model = converted()
    program_analog_weights(model)
    assert torch.equal(outputs(copy.deepcopy(model)), outputs(model))

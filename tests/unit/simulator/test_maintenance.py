"""Chips in service: what services do, and that a chip's state at a time does not depend on other times."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from scipy import stats
from torch import nn

from simulator.config import CalibrationMethod, InferenceRPUConfig
from simulator.config.evaluation import EvaluateSpec
from simulator.config.maintenance import Schedule
from simulator.config.tasks import Task
from simulator.evaluate import evaluate_cells
from simulator.maintenance import Upkeep, batch_norms, refresh_batch_norm, through_time
from simulator.nn import (
    analog_layers,
    calibrate_input_ranges,
    convert_to_analog,
    drift_analog_weights,
    noise_context,
    program_analog_weights,
)
from simulator.tasks import Score
from tests.unit.simulator.learning import Network, analog, classification, drawn, noisy

DAY_S, YEAR_S = 86400.0, 31536000.0
TIMES = (1.0, 3600.0, DAY_S, YEAR_S)
RANGES = {"pre_post": {"input_range": {"enable": True}}}


def schedule_of(*rules: dict) -> Schedule:
    spec = EvaluateSpec.model_validate({"t_inference": [1], "maintenance": list(rules)})
    assert spec.maintenance is not None
    return spec.maintenance


def calibrate(model: nn.Module, inputs: tuple[torch.Tensor, ...], method=CalibrationMethod.MAX) -> None:
    calibrate_input_ranges(model, [(one,) for one in inputs[0].split(8)], method=method)


def upkeep_of(*rules: dict, method=CalibrationMethod.MAX) -> Upkeep:
    return Upkeep(
        schedule_of(*rules),
        inputs=lambda: classification().inputs,
        calibrate=partial(calibrate, method=method),
        batch_size=16,
    )


def cells(model: nn.Module, upkeep: Upkeep | None, *, times=TIMES, done=(), repeats=range(2)):
    found: dict[tuple[int, float], Score] = {}
    evaluate_cells(
        model.eval(), classification(), task=Task.CLASSIFICATION, repeats=repeats, times_s=times, batch_size=16,
        on_cell=lambda repeat, t, result: found.__setitem__((repeat, t), result), done=done, upkeep=upkeep,
    )  # fmt: skip
    return found


ALL = ["compensate", "refresh_batch_norm", "calibrate_input_ranges"]


def test_a_readout_at_every_evaluated_time_is_the_default_bit_for_bit():
    at_each = upkeep_of({"at": list(TIMES), "do": ["compensate"]})
    assert cells(analog(), at_each) == cells(analog(), None)


def test_a_cell_does_not_depend_on_which_others_are_computed():
    upkeep = upkeep_of({"at": [10.0, 4e4, 1e5], "do": ALL, "samples": 20}, {"at": [5e4], "do": ["reprogram"]})
    model = analog(noisy(**RANGES))
    calibrate(model, classification().inputs)
    whole = cells(model, upkeep)
    for place in whole:
        again = cells(model, upkeep, done=set(whole) - {place})
        assert again == {place: whole[place]}


def test_a_model_is_left_with_the_statistics_and_ranges_that_it_came_with():
    model = analog(noisy(**RANGES))
    calibrate(model, classification().inputs)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    upkeep = upkeep_of({"at": [DAY_S], "do": ALL, "samples": 20})
    for _ in through_time(model.eval(), 0, (DAY_S, 1.1e5), upkeep):
        now = model.state_dict()
        changed = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], now[name])}
    assert changed == {"running_mean", "running_var", "input_range"}
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_ranges_do_not_depend_on_those_of_earlier_services(method):
    def found(*times_s: float) -> list[float]:
        model = analog(noisy(**RANGES))
        calibrate(model, classification().inputs)
        rule = {"at": list(times_s), "do": ["calibrate_input_ranges"], "samples": 24}
        for _ in through_time(model.eval(), 0, [*times_s[:-1], YEAR_S], upkeep_of(rule, method=method)):
            last = [
                tile.input_range.item() for _, layer in analog_layers(model) for _, tile in layer.tile_slots()
            ]
        return last

    assert found(10.0, DAY_S) == found(DAY_S)


def test_without_services_a_chip_is_not_compensated():
    model = analog().eval()
    for _ in through_time(model, 0, [YEAR_S], upkeep_of()):
        tiles = [tile for _, layer in analog_layers(model) for _, tile in layer.tile_slots()]
        assert all(tile.chip is not None and tile.chip.compensation is None for tile in tiles)


# --- compensation in closed form ----------------------------------------------------------------------------


def test_with_one_drift_exponent_compensation_is_exact_at_its_service_and_known_after_it():
    nu, t_0 = 0.06, 20.0
    config = InferenceRPUConfig.model_validate(
        {
            "forward": {"is_perfect": True},
            "noise_model": {
                "type": "CustomDriftPCMLikeNoiseModel", "g_max": 25.0, "prog_noise_scale": 0.0,
                "read_noise_scale": 0.0,
                "custom_drift_model": {"g_lst": [0.0, 25.0], "nu_mean_lst": [nu, nu], "nu_std_lst": [0.0, 0.0]},
            },
            "drift_compensation": {"type": "GlobalDriftCompensation"},
        }
    )  # fmt: skip
    layer = nn.Linear(16, 8, bias=False)
    with torch.no_grad():
        layer.weight.copy_(drawn(8, 16))
    x = drawn(5, 16, key=1)
    exact = layer(x).detach()
    model = convert_to_analog(layer, config, seed=1).eval()
    served_s = 1e5
    times = (served_s, 3e6)
    upkeep = upkeep_of({"at": [served_s], "do": ["compensate"]})
    with torch.no_grad():
        ratios = [float((model(x) / exact).mean()) for _ in through_time(model, 0, times, upkeep)]
        alone = [float((model(x) / exact).mean()) for _ in through_time(model, 0, times, upkeep_of())]
    decay = [((t + t_0) / t_0) ** -nu for t in times]
    assert ratios == pytest.approx([1.0, decay[1] / decay[0]], rel=2e-5)
    assert alone == pytest.approx(decay, rel=2e-5)


# --- reprogramming -----------------------------------------------------------------------------------------


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat(
        [
            tile.chip.weights_OI.flatten()
            for _, layer in analog_layers(model)
            for _, tile in layer.tile_slots()
        ]
    )


def test_reprogramming_returns_the_distribution_of_the_first_second_and_not_its_numbers():
    config = InferenceRPUConfig.model_validate(
        {"noise_model": {"type": "PCMLikeNoiseModel"}, "forward": {"is_perfect": True}}
    )
    layer = nn.Linear(64, 64, bias=False)
    with torch.no_grad():
        layer.weight.copy_(drawn(64, 64))
    model = convert_to_analog(layer, config, seed=3).eval()
    upkeep = upkeep_of({"every": YEAR_S, "do": ["reprogram"]})
    first, late, again = (
        weights(model) for _ in through_time(model, 0, (1.0, YEAR_S - 1, YEAR_S + 1), upkeep)
    )
    assert not torch.equal(first, again)
    assert stats.ks_2samp(first, again).pvalue > 0.01
    assert stats.ks_2samp(first, late).pvalue < 1e-6
    error = [(one - first.new_tensor(weights_of(layer))) for one in (first, again)]
    assert abs(float(torch.corrcoef(torch.stack(error))[0, 1])) < 0.1, "drawn anew"


def weights_of(layer: nn.Linear) -> list[float]:
    return layer.weight.detach().flatten().tolist()


def test_a_chip_that_is_reprogrammed_keeps_its_circuits_and_stuck_devices():
    config = InferenceRPUConfig.model_validate(
        {
            "noise_model": {"type": "PCMLikeNoiseModel", "stuck_at_zero": 0.2, "prog_noise_scale": 0.0},
            "forward": {"out_noise_std": 0.5, "out_noise": 0.1},
        }
    )  # fmt: skip
    model = convert_to_analog(nn.Linear(32, 32, bias=False), config, seed=3).eval()
    [(_, layer)] = list(analog_layers(model))
    [(_, tile)] = list(layer.tile_slots())
    found = []
    for number in (0, 1):
        program_analog_weights(model, repeat=0, programming=number)
        assert tile.chip is not None
        found.append((tile.instance_parameters(torch.device("cpu")), tile.chip.weights_OI.clone()))
    assert found[0][0] is found[1][0]
    assert torch.equal(found[0][1], found[1][1]), "without programming noise the same devices are stuck"


# --- batch normalisation -----------------------------------------------------------------------------------


def test_a_refresh_is_the_mean_and_variance_over_all_samples_and_places():
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    x = 2 * drawn(10, 3, 4, 5) + 1
    refresh_batch_norm(model, (x,), batch_size=4)
    [layer] = batch_norms(model)
    torch.testing.assert_close(layer.running_mean, x.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(layer.running_var, x.var(dim=(0, 2, 3), correction=0))
    assert not layer.training
    assert int(layer.num_batches_tracked) == 0


def test_a_refresh_of_one_batch_makes_evaluation_what_training_was():
    model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4), nn.BatchNorm1d(4))
    x = drawn(32, 8)
    with torch.no_grad():
        expected = model.train()(x)
        refresh_batch_norm(model.eval(), (x,), batch_size=32)
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_a_refresh_wins_back_what_drift_without_compensation_takes():
    digital = Network().eval()
    x = classification().inputs[0]
    refresh_batch_norm(digital, (x,))
    model = convert_to_analog(digital, noisy(drift_compensation=None), seed=5).eval()
    normalised = nn.Sequential(*list(model)[:2])  # what lies behind the normalisation shrinks as before
    rule = {"at": [YEAR_S], "do": ["refresh_batch_norm"], "samples": 72}
    with torch.no_grad():
        exact = nn.Sequential(*list(digital)[:2])(x)
        alone, refreshed = (
            float((normalised(x) - exact).square().mean())
            for upkeep in (upkeep_of(), upkeep_of(rule))
            for _ in through_time(model, 0, [YEAR_S], upkeep)
        )
    assert refreshed < alone / 2


def test_each_chip_and_service_has_samples_of_its_own():
    model = analog().eval()
    seen: list[tuple[float, ...]] = []
    rule = {"at": [1.0, 2.0], "do": ["refresh_batch_norm"], "samples": 8}
    handle = model.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].flatten().tolist())))
    for repeat in range(2):
        list(through_time(model, repeat, (1.0, 2.0), upkeep_of(rule)))
    handle.remove()
    assert len(seen) == len(set(seen)) == 4


def test_a_service_has_streams_of_its_own():
    model = analog().eval()
    context = noise_context(model)
    assert context is not None
    seen: list[tuple[object, ...]] = []
    handle = model.register_forward_pre_hook(lambda *_: seen.append(context.service))
    for _ in through_time(model, 0, [DAY_S], upkeep_of({"at": [DAY_S], "do": ["refresh_batch_norm"]})):
        model(classification().inputs[0])
    handle.remove()
    assert set(seen) == {("refresh_batch_norm", 0, DAY_S), ()}


def test_a_chip_can_be_brought_no_further_back_than_its_programming():
    model = analog().eval()
    program_analog_weights(model, repeat=0, programming=1)
    with pytest.raises(ValueError, match="after programming"):
        drift_analog_weights(model, 1.0, programmed_at=2.0)


def test_an_upkeep_without_what_its_schedule_needs_is_refused():
    with pytest.raises(ValueError, match=r"inputs: .*; calibrate: "):
        Upkeep(schedule_of({"every": 1.0, "do": ["calibrate_input_ranges"]}))

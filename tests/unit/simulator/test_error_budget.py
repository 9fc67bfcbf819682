"""An error budget whose answer is known: a linear regression under independent Gaussian effects.

The added mean squared error is the sum of the variances that the effects add at the output, so each effect's
cost is its variance, alone, beside the others and as a share.
"""

from __future__ import annotations

import statistics
from functools import partial

import pytest
import torch
from torch import nn

from simulator.config import (
    InferenceRPUConfig,
    IOParameters,
    NoiseManagementType,
    SinglePairConductanceConverter,
    StateIndependentNoiseModel,
)
from simulator.config.analyses import ErrorBudget
from simulator.config.analyses.error_budget import BudgetMethod, evaluated, shares
from simulator.config.effects import SWITCHED, Effect, effects_of, without_effects
from simulator.config.tasks import Task
from simulator.evaluate import Samples, evaluate_cells
from simulator.nn import (
    TileMode,
    analog_layers,
    convert_to_analog,
    drift_analog_weights,
    program_analog_weights,
)

INPUTS, SAMPLES, CHIPS = 64, 2000, 40
INPUT_NOISE, OUTPUT_NOISE, PROGRAMMING_US = 0.02, 0.15, 0.6
G_MIN, G_MAX = 10.0, 25.0


def config() -> InferenceRPUConfig:
    """Input noise, output noise and programming noise of constant spread; converters as good as none."""
    forward = IOParameters(
        inp_bound=float("inf"), out_bound=float("inf"), inp_noise=INPUT_NOISE, out_noise=OUTPUT_NOISE,
        noise_management=NoiseManagementType.NONE,
    )  # fmt: skip
    made = InferenceRPUConfig(forward=forward, drift_compensation=None)
    made.mapping.weight_scaling_omega = 1.0
    made.noise_model = StateIndependentNoiseModel(
        g_converter=SinglePairConductanceConverter(g_min=G_MIN, g_max=G_MAX),
        prog_coeff=(PROGRAMMING_US,),
        read_noise_scale=0.0,
        drift_scale=0.0,
    )
    return made


def network() -> nn.Linear:
    stream = torch.Generator().manual_seed(3)
    layer = nn.Linear(INPUTS, 1, bias=False)
    layer.weight.data = torch.empty(1, INPUTS).uniform_(-1, 1, generator=stream)
    return layer


def samples() -> Samples:
    stream = torch.Generator().manual_seed(4)
    x = torch.randn(SAMPLES, INPUTS, generator=stream)
    return Samples((x,), network()(x).detach())


def mse(on: frozenset[Effect]) -> list[float]:
    """Return the mean squared error of each chip with some groups on."""
    off = frozenset(SWITCHED) - on
    model = convert_to_analog(network(), config(), configure=partial(without_effects, off=off), seed=5).eval()
    found: dict[int, float] = {}
    evaluate_cells(
        model, samples(), task=Task.REGRESSION, repeats=range(CHIPS), times_s=[1.0], batch_size=SAMPLES,
        on_cell=lambda chip, _, score: found.update({chip: score.loss_sum / score.total}),
    )  # fmt: skip
    return [found[chip] for chip in range(CHIPS)]


def test_shares_are_the_variances_that_the_effects_add() -> None:
    effects = effects_of([config()])
    assert effects == (Effect.PROGRAMMING, Effect.INPUT_CONVERTER, Effect.OUTPUT_NOISE)
    budget = ErrorBudget(method=BudgetMethod.SHAPLEY)
    sets = [*evaluated(budget, effects), frozenset(effects)]
    by_set = {on: mse(on) for on in sets}

    weights, alpha = network().weight.detach(), float(network().weight.detach().abs().max())
    x = samples().inputs[0]
    # Both devices of a pair deviate; a weight is their difference over the window, times the largest weight.
    of_a_weight = 2 * (PROGRAMMING_US * alpha / (G_MAX - G_MIN)) ** 2
    expected = {
        Effect.PROGRAMMING: of_a_weight * float(x.square().sum(dim=1).mean()),
        Effect.INPUT_CONVERTER: INPUT_NOISE**2 * float(weights.square().sum()),
        Effect.OUTPUT_NOISE: (OUTPUT_NOISE * alpha) ** 2,
    }
    assert max(by_set[frozenset()]) < 1e-9  # mapping alone costs nothing here
    per_chip = [shares(budget, effects, lambda on, chip=chip: by_set[on][chip]) for chip in range(CHIPS)]
    for chip in range(CHIPS):
        whole = by_set[frozenset(effects)][chip] - by_set[frozenset()][chip]
        assert sum(per_chip[chip].values()) == pytest.approx(whole, rel=1e-12)
    for effect in effects:
        values = [one[effect] for one in per_chip]
        error = statistics.stdev(values) / CHIPS**0.5
        assert abs(statistics.fmean(values) - expected[effect]) < 4 * error + 0.01 * expected[effect]
        assert statistics.fmean(values) == pytest.approx(expected[effect], rel=0.12)


def test_an_input_range_that_does_not_clip_scales_as_before() -> None:
    forward = IOParameters(
        out_noise=0.1,
        inp_bound=float("inf"),
        out_bound=float("inf"),
        noise_management=NoiseManagementType.NONE,
    )
    made = InferenceRPUConfig(forward=forward)
    made.pre_post.input_range.enable = True
    made.pre_post.input_range.init_value = 0.5
    model = convert_to_analog(network(), made, seed=1).eval()
    x = samples().inputs[0][:8]
    [(_, layer)] = analog_layers(model)
    [(_, tile)] = layer.tile_slots()
    inside = x.clamp(-0.5, 0.5)

    def answer(inputs: torch.Tensor, *, clips: bool) -> torch.Tensor:
        program_analog_weights(model, repeat=0)
        drift_analog_weights(model, t_inference=1.0)
        tile.set_mode(TileMode(clips_inputs=clips))
        layer.noise_context.at_batch(0)
        with torch.inference_mode():
            return model(inputs)

    assert torch.allclose(answer(x, clips=True), answer(inside, clips=True))
    # The noise is that of the same scale: inside of the range nothing changes.
    assert torch.allclose(answer(inside, clips=True), answer(inside, clips=False), atol=1e-6)
    free = answer(x, clips=False) - answer(inside, clips=False)
    weights = tile.chip.weights_OI * tile.output_scale() / tile.input_range
    assert torch.allclose(free, (x - inside) @ weights.t(), atol=1e-4)

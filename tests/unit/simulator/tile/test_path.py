"""No path leaves out what it does not know: a stage that is new to it runs on the reference, or is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from simulator.config import InferenceRPUConfig, IOParameters
from simulator.nn import convert_to_analog, drift_analog_weights, program_analog_weights
from simulator.rng import Purpose, generator
from simulator.tile import DENSE, ConvProduct, Way, analog_product, compile_plan, fast, forward, path, stages
from simulator.tile.plan import ForwardPlan
from tests.unit.simulator.nn.test_forward_space import EVERYTHING, LAYERS, QUICK_WAYS, drawn, model_of

ALL_STAGES = {
    kind
    for kind in vars(stages).values()
    if isinstance(kind, type) and issubclass(kind, stages.Stage) and hasattr(kind, "phase")
} - {stages.InputStage, stages.CurrentStage, stages.OutputStage}
CONVOLUTION = ConvProduct((3, 3), (1, 1), (1, 1), (1, 1), channels=3)


@dataclass(frozen=True, slots=True)
class NewInput(stages.InputStage):
    """A stage that no path has heard of."""


@dataclass(frozen=True, slots=True)
class NewCurrent(stages.CurrentStage):
    """A stage that no path has heard of."""


@dataclass(frozen=True, slots=True)
class NewOutput(stages.OutputStage):
    """A stage that no path has heard of."""


@dataclass(frozen=True, slots=True)
class NewAdc(stages.Adc):
    """A converter that no path has heard of."""


@dataclass(frozen=True, slots=True)
class NewRepetition(stages.BoundManagement):
    """A kind of bound management that no path has heard of."""


NEW = (NewInput, NewCurrent, NewOutput)


def positions(plan, stage):
    """Every position in a plan where a stage of this phase can be."""
    for index in range(len(plan.stages) + 1):
        around = (*plan.stages[:index], stage, *plan.stages[index:])
        if [one.phase for one in around] == sorted(one.phase for one in around):
            yield ForwardPlan(around)


def run(name, node, *, channels_last, of_inputs):
    """A training step, and an evaluation on a chip."""
    model, x = model_of(name, node, channels_last=channels_last)
    model.train()(x.requires_grad_(of_inputs)).sum().backward()
    model.eval()
    program_analog_weights(model)
    drift_analog_weights(model, 3600.0)
    with torch.inference_mode():
        model(x)
    return len(model[0].tiles)


def assert_runs_everywhere(kind, last, name, node, **options):
    """The new stage runs whenever a tile does: twice, and for each readout of the compensation."""
    ran = []

    def step(_, __, value, *___):
        ran.append(kind)
        return value * 1.0

    def compiled(*args, **named):
        found = list(positions(compile_plan(*args, **named), kind()))
        return found[-1 if last else 0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(forward.STEPS, kind, step)
        patch.setattr("simulator.nn.tile.setup.compile_plan", compiled)
        tiles = run(name, node, **options)
    assert len(ran) >= 2 * tiles


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("way", QUICK_WAYS)
def test_a_new_stage_runs_where_a_faster_path_was_taken(way, kind, last):
    name, node = QUICK_WAYS[way]
    for channels_last in (False, True):
        assert_runs_everywhere(
            kind, last, name, node, channels_last=channels_last, of_inputs=way != "from few inputs"
        )


@drawn(60)
@given(
    st.sampled_from(NEW),
    st.booleans(),
    st.sampled_from(sorted(LAYERS)),
    EVERYTHING,
    st.booleans(),
    st.booleans(),
)
def test_a_new_stage_runs_in_any_configuration(kind, last, name, node, channels_last, of_inputs):  # noqa: PLR0917
    assert_runs_everywhere(kind, last, name, node, channels_last=channels_last, of_inputs=of_inputs)


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("forward_", [{}, {"noise_management": "None", "bound_management": "None"}])
def test_a_new_stage_changes_what_comes_out(kind, forward_, monkeypatch):
    """Halving every value shows, behind a static input range as well."""
    monkeypatch.setitem(forward.STEPS, kind, lambda _, __, value, *___: value * 0.5)
    node = {
        "forward": {**forward_, "out_noise": 0.0, "inp_res": 0.0, "out_res": 0.0, "out_bound": 0.0},
        "pre_post": {"input_range": {"enable": bool(forward_)}},
    }
    x = torch.rand(4, 20, generator=generator(0, Purpose.VERIFICATION))
    model = convert_to_analog(nn.Sequential(nn.Linear(20, 8, bias=False)), InferenceRPUConfig(**node)).eval()
    with torch.inference_mode():
        before = model(x)
        monkeypatch.setattr(
            "simulator.nn.tile.setup.compile_plan",
            lambda *args, **named: next(positions(compile_plan(*args, **named), kind())),
        )
        model[0].tiles[0].recompile()
        torch.testing.assert_close(model(x), before / 2)


@pytest.mark.parametrize("kind", NEW)
@pytest.mark.parametrize("way", QUICK_WAYS)
def test_a_stage_without_a_step_is_refused(way, kind, monkeypatch):
    name, node = QUICK_WAYS[way]
    monkeypatch.setattr(
        "simulator.nn.tile.setup.compile_plan",
        lambda *args, **named: next(positions(compile_plan(*args, **named), kind())),
    )
    with pytest.raises(NotImplementedError, match=kind.__name__):
        run(name, node, channels_last=False, of_inputs=True)


@pytest.mark.parametrize("new", [NewAdc(1.0, 0.1), NewRepetition(8.0, True, False, None)], ids=repr)  # noqa: FBT003
def test_a_stage_below_a_known_one_is_not_taken_for_it(new):
    plan = ForwardPlan((stages.Crossbar(), new))
    assert not any(one.can(plan) for one in path.FASTER)
    assert not path.converts_compiled(plan, torch.zeros(2, 2), None)
    with pytest.raises(NotImplementedError, match=type(new).__name__):
        analog_product(torch.ones(2, 3), torch.ones(2, 3), plan)


@pytest.mark.parametrize("one", path.FASTER, ids=lambda one: one.name)
def test_paths_name_stages_that_exist(one):
    assert one.stages <= ALL_STAGES


def test_the_reference_does_every_stage_that_exists():
    assert forward.STEPS.keys() | forward.WOVEN_IN == ALL_STAGES


@pytest.mark.parametrize(
    "order",
    [
        (stages.Adc(1.0, 0.1), stages.Crossbar()),
        (stages.Dac(1.0, 0.1),),
        (stages.Crossbar(), stages.PerfectProduct()),
        (stages.Crossbar(), stages.OutputScale(2.0), stages.OutputNoise(0.1)),
    ],
    ids=["reversed", "no product", "two products", "noise after the digital scale"],
)
def test_stages_out_of_their_order_are_refused(order):
    with pytest.raises(ValueError, match="physical order"):
        ForwardPlan(order)


@pytest.mark.parametrize(
    ("node", "product", "way"),
    [
        ({}, DENSE, Way.ROWS),
        ({"noise_management": "None", "bound_management": "None"}, CONVOLUTION, Way.WHOLE_MAPS),
        ({}, CONVOLUTION, Way.COMPILED_PATCHES),
        ({"noise_management": "Max"}, CONVOLUTION, Way.PATCHES),
        ({"ir_drop": 1.0}, CONVOLUTION, Way.PATCHES),
        ({"is_perfect": True}, CONVOLUTION, Way.WHOLE_MAPS),
    ],
)
def test_a_convolution_takes_the_fastest_way_that_does_all_of_its_plan(node, product, way):
    pytest.importorskip("numba")
    plan = compile_plan(IOParameters.model_validate(node))
    x = torch.zeros(1, 3, 5, 5)
    without = Way.PATCHES if way is Way.COMPILED_PATCHES else way
    assert path.choose(plan, product, x, scale=plan.static_scale) is way
    assert path.choose(plan, product, x.double(), scale=plan.static_scale) is without
    with fast.disabled():
        assert path.choose(plan, product, x, scale=plan.static_scale) is without


def test_an_analog_bias_has_its_patches_unfolded():
    plan = compile_plan(IOParameters(noise_management="None", bound_management="None"))
    biased = replace(CONVOLUTION, bias_input=torch.ones(1))
    assert path.choose(plan, biased, torch.zeros(1), scale=plan.static_scale) is Way.PATCHES

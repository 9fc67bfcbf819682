from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from simulator.config import InferenceRPUConfig, resolve
from simulator.config.tasks import Task
from simulator.evaluate import score
from simulator.nn import analog_layers
from simulator.train import NonFiniteLossError, SingleSampleError, finetune
from tests.unit.simulator.learning import (
    CLASSES,
    FEATURES,
    Network,
    Recorder,
    analog,
    classification,
    noisy,
    regression,
    same_bits,
    spec_of,
    train,
)

OPTIMIZERS = [
    {"type": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    {"type": "adam", "lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 1e-4},
    {"type": "adamw", "lr": 0.01, "weight_decay": 0.05},
]
SCHEDULES = [
    ({"type": "constant"}, [0.1, 0.1, 0.1, 0.1]),
    (
        {"type": "cosine", "eta_min": 1e-4},
        [1e-4 + (0.1 - 1e-4) * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)],
    ),
    ({"type": "step", "step_size": 2, "gamma": 0.5}, [0.1, 0.1, 0.05, 0.05]),
    ({"type": "exponential", "gamma": 0.9}, [0.1, 0.09, 0.081, 0.0729]),
]


def losses(model: nn.Module, **options: object) -> list[float]:
    recorder = Recorder()
    train(model, spec_of(**options), recorder)
    return [report.train_loss for report in recorder.reports]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda options: options["type"])
@pytest.mark.parametrize("kind", ["analog", "digital"])
def test_the_loss_falls(kind, optimizer):
    model = analog() if kind == "analog" else Network()
    found = losses(model, optimizer=optimizer)
    assert found[-1] < 0.7 * found[0]


@pytest.mark.parametrize(("schedule", "rates"), SCHEDULES)
def test_the_learning_rate_follows_its_schedule(schedule, rates):
    recorder = Recorder()
    train(Network(), spec_of(optimizer={"type": "sgd", "lr": 0.1}, scheduler=schedule), recorder)
    assert [report.learning_rate for report in recorder.reports] == pytest.approx(rates)


def test_the_same_seed_gives_the_same_bits():
    one, other = train(analog(), spec_of()), train(analog(), spec_of())
    assert same_bits(one.state_dict(), other.state_dict())


def test_another_seed_gives_other_weights():
    one, other = train(analog(seed=5), spec_of(), seed=5), train(analog(seed=6), spec_of(), seed=6)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_what_was_drawn_before_does_not_matter():
    one = train(analog(), spec_of())
    torch.manual_seed(1234)
    torch.randn(1000)
    assert same_bits(one.state_dict(), train(analog(), spec_of()).state_dict())


def test_training_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    train(analog(), spec_of(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_keyed_by_the_seed():
    def weights(seed: int) -> torch.Tensor:
        samples = classification(16)  # one batch: no order of samples, no analog noise, only dropout differs
        return train(Network(), spec_of(epochs=1), samples=samples, seed=seed)[0].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_updates_go_to_the_clean_weights():
    still = spec_of(epochs=1, optimizer={"type": "sgd", "lr": 1e-30})
    model = train(analog(noisy(modifier={"type": "AddNormal", "std_dev": 0.5})), still)
    assert torch.equal(model[0].weight, Network()[0].weight)


def test_the_model_ends_in_eval_mode_and_is_the_one_that_was_passed():
    model = analog()
    assert train(model, spec_of(epochs=1)) is model
    assert not model.training


@pytest.mark.parametrize("kind", ["analog", "digital"])
def test_a_regression_is_trained_on_the_squared_error(kind):
    model = analog(outputs=2) if kind == "analog" else Network(2)
    samples, recorder = regression(), Recorder()
    before = score(model.eval(), samples, task=Task.REGRESSION, batch_size=16).loss_sum
    spec = spec_of(loss="mse", epochs=10, optimizer={"type": "adam", "lr": 0.05})
    train(model, spec, recorder, samples=samples, task=Task.REGRESSION)
    assert score(model, samples, task=Task.REGRESSION, batch_size=16).loss_sum < 0.7 * before
    assert {report.train_accuracy for report in recorder.reports} == {None}


def test_a_classifier_can_be_trained_towards_one_hot_targets():
    found = losses(analog(), loss="mse", epochs=6)
    assert found[-1] < 0.7 * found[0]


def test_label_smoothing_bounds_the_outputs():
    def largest(smoothing: float) -> float:
        optimizer = {"type": "adam", "lr": 0.05}
        model = train(
            Network(dropout=0.0), spec_of(epochs=30, label_smoothing=smoothing, optimizer=optimizer)
        )
        return float(model(*classification().inputs).detach().softmax(dim=1).amax(dim=1).mean())

    assert largest(0.3) < 0.9 < largest(0.0)


def test_gradients_are_clipped_to_the_norm():
    def step_length(norm: float) -> float:
        model = Network(dropout=0.0)
        train(
            model, spec_of(epochs=1, grad_clip_norm=norm, optimizer={"type": "sgd", "lr": 1.0}),
            samples=classification(16),
        )  # fmt: skip
        moved = [p - q for p, q in zip(model.parameters(), Network().parameters(), strict=True)]
        return float(torch.cat([step.detach().flatten() for step in moved]).norm())

    assert step_length(1e-3) == pytest.approx(1e-3, rel=1e-3)
    assert step_length(1e3) > 1e-1


def test_a_loss_that_is_not_finite_ends_training_with_its_place():
    with pytest.raises(NonFiniteLossError, match=r"epoch \d, batch \d; lower the learning rate"):
        train(Network(), spec_of(epochs=50, loss="mse", optimizer={"type": "sgd", "lr": 1e3}))


def test_only_the_first_samples_are_used_when_asked():
    seen = []
    finetune(
        Network(),
        classification(72),
        spec_of(epochs=2, max_samples=20),
        task=Task.CLASSIFICATION,
        seed=1,
        on_batch=seen.append,
    )
    assert seen == [16, 4, 16, 4]


def test_a_last_batch_of_one_sample_is_left_out():
    seen = []
    finetune(
        Network(),
        classification(33),
        spec_of(epochs=1),
        task=Task.CLASSIFICATION,
        seed=1,
        on_batch=seen.append,
    )
    assert seen == [16, 16]


def test_training_can_be_stopped_before_any_batch():
    class StopError(Exception):
        pass

    calls = []

    def check_stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise StopError

    with pytest.raises(StopError):
        finetune(
            analog(), classification(), spec_of(), task=Task.CLASSIFICATION, seed=1, check_stop=check_stop
        )
    assert len(calls) == 3


def test_frozen_parameters_stay():
    model = analog()
    model[0].weight.requires_grad_(requires_grad=False)
    train(model, spec_of(epochs=1))
    assert torch.equal(model[0].weight, Network()[0].weight)
    assert not torch.equal(model[4].weight, Network()[4].weight)


def test_a_model_that_was_scored_before_can_be_trained():
    spread = {"forward": {"v_offset_std": 0.05, "out_nonlinearity": 0.3, "out_nonlinearity_std": 0.1}}
    model = analog(noisy(**spread)).eval()
    score(model, classification(), task=Task.CLASSIFICATION, batch_size=16)
    train(model, spec_of(epochs=1))


def test_everything_that_does_not_fit_is_said_at_once():
    model = Network().requires_grad_(requires_grad=False)
    with pytest.raises(
        ValueError, match=r"no trainable parameters; .* loss mse.*; distillation needs a teacher"
    ):
        finetune(model, regression(), spec_of(distillation={}), task=Task.REGRESSION, seed=1)


def test_a_teacher_that_would_not_be_used_is_refused():
    with pytest.raises(ValueError, match="no distillation"):
        finetune(Network(), classification(), spec_of(), task=Task.CLASSIFICATION, seed=1, teacher=Network())


def test_the_model_cannot_teach_itself():
    model = Network()
    with pytest.raises(ValueError, match="the teacher is the model itself"):
        finetune(
            model, classification(), spec_of(distillation={}), task=Task.CLASSIFICATION, seed=1, teacher=model
        )


def test_input_ranges_and_output_scales_are_trained():
    config = resolve({
        "preset": "StandardHWATrainingPreset",
        "overrides": {"modifier": {"type": "AddNormal", "std_dev": 0.05}, "pre_post": {"input_range": {"init_from_data": 4}}},
    })  # fmt: skip
    model = analog(config)
    train(model, spec_of())
    for _, layer in analog_layers(model):
        for _, tile in layer.tile_slots():
            assert float(tile.input_range.detach()) != 3.0
            assert not torch.equal(tile.out_scaling, torch.ones_like(tile.out_scaling))


def test_clipping_acts_after_every_step():
    config = InferenceRPUConfig.model_validate(
        noisy(clip={"type": "FixedValue", "fixed_value": 0.1}, mapping={"weight_scaling_omega": 0.0})
    )
    model = train(analog(config), spec_of(epochs=1))
    assert all(float(layer.weight.detach().abs().max()) <= 0.1 + 1e-7 for _, layer in analog_layers(model))


def test_batch_normalisation_of_one_sample_a_batch_is_told_with_what_to_do():
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Linear(4, CLASSES))
    with pytest.raises(SingleSampleError, match="two or more a batch"):
        train(model, spec_of(epochs=1, batch_size=1))

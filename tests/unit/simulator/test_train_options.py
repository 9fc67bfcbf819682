"""Distillation, noise ramp, validation under noise, early stopping."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from simulator import rng
from simulator.config import EarlyStopping, WeightModifierParameter
from simulator.config.tasks import Task
from simulator.evaluate import Samples, score
from simulator.nn import analog_layers, noise_context, remap_for_programming
from simulator.tasks import Score
from simulator.tile import modify_weights
from simulator.train import NonFiniteLossError, finetune
from simulator.train.objective import Objective, outputs_of
from simulator.train.validation import BestSoFar, split, validate
from tests.unit.simulator.learning import (
    CLASSES,
    Network,
    Recorder,
    analog,
    classification,
    drawn,
    model_in,
    noisy,
    regression,
    same_bits,
    spec_of,
    train,
)

FAST = {"type": "sgd", "lr": 0.3, "momentum": 0.9}


# --- validation --------------------------------------------------------------------------------------------


def test_the_split_takes_every_sample_once():
    train_index, validation_index = split(50, 0.2, seed=1)
    assert len(validation_index) == 10
    assert sorted([*train_index.tolist(), *validation_index.tolist()]) == list(range(50))


def test_the_split_is_keyed_by_the_seed():
    assert torch.equal(split(50, 0.2, seed=1)[1], split(50, 0.2, seed=1)[1])
    assert not torch.equal(split(50, 0.2, seed=1)[1], split(50, 0.2, seed=2)[1])


@pytest.mark.parametrize(("samples", "fraction"), [(4, 0.1), (1, 0.5)])
def test_a_split_that_leaves_nothing_is_refused(samples, fraction):
    with pytest.raises(ValueError, match="both need at least one"):
        split(samples, fraction, seed=1)


def run_validation(
    model: nn.Module, samples: Samples | None = None, task: Task = Task.CLASSIFICATION
) -> Score:
    return validate(model, samples or classification(), task=task, batch_size=16, check_stop=lambda: None)


def test_validation_is_under_noise_on_several_chips():
    model = analog()
    found = run_validation(model)
    assert found.total == 3 * 72
    clean = score(model.eval(), classification(), task=Task.CLASSIFICATION, batch_size=16)
    assert found.loss_sum != pytest.approx(3 * clean.loss_sum, rel=1e-3)


def test_validation_meets_the_same_chips_every_time():
    assert run_validation(analog()) == run_validation(analog())
    assert run_validation(analog(seed=5)) != run_validation(analog(seed=6))


def test_validation_leaves_no_trace():
    model = analog().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run_validation(model)
    assert model.training
    assert noise_context(model).repeat == 0
    assert all(tile.chip is None for _, layer in analog_layers(model) for tile in layer.tiles)
    assert same_bits(before, model.state_dict())


def test_validation_maps_the_weights_as_programming_will():
    model = analog()
    (_, layer), *_ = analog_layers(model)
    with torch.no_grad():
        layer.weight[0, 0] = 3 * layer.weight.abs().max()
    mapped = copy.deepcopy(model)
    remap_for_programming(mapped)
    assert run_validation(model) == run_validation(mapped)


def test_a_digital_model_is_validated_as_it_is():
    model = Network()
    clean = score(model.eval(), classification(), task=Task.CLASSIFICATION, batch_size=16)
    assert run_validation(model) == clean


def test_a_regression_is_validated_by_its_loss():
    found = run_validation(analog(outputs=2), regression(), Task.REGRESSION)
    assert found.correct is None
    assert found.abs_error_sum > 0


def test_reports_carry_the_validation():
    recorder = Recorder()
    train(analog(), spec_of(validation_fraction=0.25, optimizer=FAST), recorder)
    assert all(0 <= report.validation_accuracy <= 1 for report in recorder.reports)
    assert all(report.validation_loss > 0 for report in recorder.reports)


def test_reports_have_none_without_validation():
    recorder = Recorder()
    train(analog(), spec_of(epochs=1), recorder)
    assert (recorder.reports[0].validation_loss, recorder.reports[0].validation_accuracy) == (None, None)


def test_validation_samples_are_not_trained_on():
    seen = []
    samples = classification(40)

    class Listener(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.extend(x[:, 0].tolist())
            return super().forward(x)

    train(Listener(), spec_of(epochs=1, validation_fraction=0.25), samples=samples)
    train_index, _ = split(40, 0.25, seed=5)
    assert sorted(seen) == sorted(samples.inputs[0][train_index, 0].tolist())


def test_early_stopping_changes_nothing_until_it_stops():
    plain, stopping = Recorder(), Recorder()
    train(analog(), spec_of(validation_fraction=0.2), plain)
    options = {"validation_fraction": 0.2, "early_stopping": {"patience": 100}}
    train(analog(), spec_of(**options), stopping)
    assert stopping.figures() == plain.figures()


def test_weights_that_are_not_finite_after_an_epoch_end_training():
    """The last step of an epoch spoils them, and no loss has seen it."""
    model = analog()

    def spoil(parameter: torch.Tensor) -> None:
        parameter.grad.fill_(torch.inf)

    next(model.parameters()).register_post_accumulate_grad_hook(spoil)
    samples = classification(20)
    with pytest.raises(NonFiniteLossError, match=r"diverged in epoch 0 .* lower the learning rate"):
        train(model, spec_of(batch_size=20, validation_fraction=0.2), samples=samples)


def test_a_validation_loss_that_is_not_finite_ends_training():
    samples = classification(20)
    _, validation_index = split(20, 0.2, seed=5)
    samples.inputs[0][validation_index] = torch.inf
    with pytest.raises(NonFiniteLossError, match="the validation loss became nan in epoch 0"):
        train(Network(), spec_of(validation_fraction=0.2), samples=samples)


# --- early stopping ----------------------------------------------------------------------------------------


def see(best: BestSoFar, accuracies: list[float]) -> int | None:
    """Return the epoch after which training ends."""
    for epoch, accuracy in enumerate(accuracies):
        best.see(epoch, Score(100, 1.0, correct=round(100 * accuracy)), nn.Linear(1, 1))
        if best.gave_up(epoch):
            return epoch
    return None


@pytest.mark.parametrize(
    ("patience", "min_delta", "accuracies", "best", "stops_after"),
    [
        (1, 0.0, [0.5, 0.6, 0.6, 0.9], 1, 2),
        (2, 0.0, [0.5, 0.6, 0.6, 0.9], 3, None),
        (2, 0.0, [0.9, 0.5, 0.6, 0.95], 0, 2),
        (2, 0.1, [0.5, 0.55, 0.58, 0.9], 0, 2),
        (3, 0.1, [0.5, 0.55, 0.58, 0.9], 3, None),
    ],
)
def test_patience_counts_the_epochs_that_are_not_better(patience, min_delta, accuracies, best, stops_after):
    found = BestSoFar(EarlyStopping(patience=patience, min_delta=min_delta))
    assert see(found, accuracies) == stops_after
    assert found.epoch == best


def test_a_regression_is_better_when_its_loss_is_smaller():
    best = BestSoFar(EarlyStopping(patience=2))
    for epoch, loss in enumerate([3.0, 1.0, 2.0]):
        best.see(epoch, Score(10, loss, abs_error_sum=1.0), nn.Linear(1, 1))
    assert best.epoch == 1


def test_the_best_epoch_is_restored():
    options = {"validation_fraction": 0.3, "early_stopping": {"patience": 100}, "optimizer": FAST}
    recorder = Recorder()
    model = train(analog(), spec_of(epochs=10, **options), recorder)
    accuracies = [report.validation_accuracy for report in recorder.reports]
    best = accuracies.index(max(accuracies))
    assert best < 9, "the test needs a run whose last epoch is not the best"
    assert same_bits(model.state_dict(), model_in(recorder.checkpoints[best]))
    assert same_bits(model.state_dict(), model_in(recorder.checkpoints[-1]))


def test_training_stops_when_patience_is_over():
    options = {"validation_fraction": 0.3, "early_stopping": {"patience": 2}, "optimizer": FAST}
    recorder = Recorder()
    train(analog(), spec_of(epochs=30, **options), recorder)
    accuracies = [report.validation_accuracy for report in recorder.reports]
    assert len(accuracies) == accuracies.index(max(accuracies)) + 1 + 2 < 30


# --- noise ramp --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["AddNormal", "MultNormal", "ProgNoise", "PCMNoise", "Discretize", "DropConnect"]
)
def test_strength_scales_the_deviation_and_not_the_draws(kind):
    modifier = WeightModifierParameter(type=kind, std_dev=0.2, res=0.1, pdrop=0.1)
    clean = drawn(6, 7).clamp(-1, 1)

    def deviation(strength: float) -> torch.Tensor:
        stream = rng.generator(1, rng.Purpose.MODIFIER)
        return modify_weights(clean, modifier, stream, strength=strength) - clean

    whole = deviation(1.0)
    assert whole.abs().max() > 0
    torch.testing.assert_close(deviation(0.25), 0.25 * whole, atol=1e-6, rtol=1e-5)
    assert torch.equal(deviation(0.0), torch.zeros_like(clean))


def test_the_strength_rises_linearly_and_ends_at_one():
    model = analog()
    strengths = []

    class Watcher(Recorder):
        def __call__(self, report, checkpoint):
            strengths.append(
                {tile.modifier_strength for _, layer in analog_layers(model) for tile in layer.tiles}
            )

    train(model, spec_of(epochs=5, noise_ramp_epochs=3), Watcher())
    assert strengths == [{0.25}, {0.5}, {0.75}, {1.0}, {1.0}]


def test_the_whole_strength_is_back_after_an_interruption():
    model = analog()
    with pytest.raises(KeyboardInterrupt):
        train(model, spec_of(noise_ramp_epochs=3), Recorder(stop_after=0))
    assert {tile.modifier_strength for _, layer in analog_layers(model) for tile in layer.tiles} == {1.0}


def test_a_ramp_makes_the_first_epochs_easier():
    strong = {"modifier": {"type": "AddNormal", "std_dev": 1.0}}

    def first_loss(**options: object) -> float:
        recorder = Recorder()
        train(analog(noisy(**strong)), spec_of(**options), recorder)
        return recorder.reports[0].train_loss

    assert first_loss(noise_ramp_epochs=3) < first_loss()


# --- distillation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_loss_is_that_of_hinton(weight, temperature):
    spec = spec_of(distillation={"weight": weight, "temperature": temperature})
    outputs, taught, targets = (
        drawn(5, CLASSES, key=8),
        drawn(5, CLASSES, key=9),
        torch.tensor([0, 1, 2, 0, 1]),
    )
    p, q = (taught / temperature).softmax(1), (outputs / temperature).softmax(1)
    soft = temperature**2 * (p * (p / q).log()).sum()
    hard = -outputs.log_softmax(1)[torch.arange(5), targets].sum()
    found = Objective(spec, Task.CLASSIFICATION)(outputs, targets, taught)
    torch.testing.assert_close(found, weight * soft + (1 - weight) * hard)


def test_a_regression_is_distilled_by_the_squared_difference():
    spec = spec_of(loss="mse", distillation={"weight": 0.25})
    outputs, taught, targets = (drawn(5, 2, key=key) for key in (8, 9, 10))
    wanted = (
        0.25 * (outputs - taught).square().mean(1).sum() + 0.75 * (outputs - targets).square().mean(1).sum()
    )
    torch.testing.assert_close(Objective(spec, Task.REGRESSION)(outputs, targets, taught), wanted)


def test_a_teacher_with_the_whole_share_makes_targets_irrelevant():
    samples = classification()
    shuffled = Samples(samples.inputs, samples.targets.roll(1))
    spec = spec_of(distillation={"weight": 1.0})
    one, other = train(analog(), spec, samples=samples), train(analog(), spec, samples=shuffled)
    assert same_bits(one.state_dict(), other.state_dict())


def test_a_student_comes_to_agree_with_its_teacher():
    recorder = Recorder()
    optimizer = {"type": "adam", "lr": 0.02}
    spec = spec_of(epochs=12, distillation={"weight": 1.0, "temperature": 1.0}, optimizer=optimizer)
    train(analog(noisy(modifier={"type": "AddNormal", "std_dev": 0.05})), spec, recorder)
    assert recorder.reports[-1].train_loss < 0.6 * recorder.reports[0].train_loss


def test_the_teacher_speaks_in_eval_mode_and_in_the_order_of_samples():
    teacher, samples = Network().train(), classification(20)
    found = outputs_of(teacher, samples, 8, lambda: None)
    assert teacher.training
    torch.testing.assert_close(found, teacher.eval()(*samples.inputs).detach())


def test_the_teacher_is_not_trained():
    teacher = Network()
    finetune(
        analog(),
        classification(),
        spec_of(distillation={}),
        task=Task.CLASSIFICATION,
        seed=1,
        teacher=teacher,
    )
    assert same_bits(teacher.state_dict(), Network().state_dict())

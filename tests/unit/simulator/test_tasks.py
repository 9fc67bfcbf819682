"""What is counted, task by task, against the definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from simulator.config import Distillation, FinetuneSpec
from simulator.config.tasks import Task
from simulator.evaluate import Samples, score
from simulator.tasks import IGNORED_CLASS, add, correct, loss_of, score_batch, targets_for, units
from simulator.train import finetune
from simulator.train.objective import Objective

POSITIONS = (Task.TOKEN_CLASSIFICATION, Task.NEXT_TOKEN)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_labels_are_counted_one_by_one():
    outputs = torch.tensor([[2.0, -1.0, 0.5], [-3.0, -0.1, 4.0]])
    targets = torch.tensor([[1, 0, 0], [1, 0, 1]])
    found = score_batch(Task.MULTI_LABEL, outputs, targets)
    assert (found.total, found.correct) == (6, 4)
    share = torch.sigmoid(outputs.double())
    expected = -torch.where(targets > 0, share, 1 - share).log().sum()
    assert found.loss_sum == pytest.approx(float(expected))


@pytest.mark.parametrize("task", POSITIONS)
@pytest.mark.parametrize("channels_first", [False, True])
def test_positions_are_counted_but_for_those_that_do_not_count(task, channels_first):
    logits = draws(3, 5, 7)
    targets = torch.arange(15).reshape(3, 5) % 7
    targets[0, 2:] = IGNORED_CLASS
    outputs = logits.movedim(-1, 1) if channels_first else logits
    found = score_batch(task, outputs, targets)
    kept = targets != IGNORED_CLASS
    likely = torch.log_softmax(logits.double(), -1)[kept].gather(1, targets[kept].unsqueeze(1))
    assert found.total == units(task, targets) == 12
    assert found.loss_sum == pytest.approx(-float(likely.sum()))
    assert found.correct == int((logits.argmax(-1) == targets)[kept].sum())
    ranks = (logits[kept] > logits[kept].gather(1, targets[kept].unsqueeze(1))).sum(1)
    assert found.correct_top5 == int((ranks < 5).sum())


def test_maps_of_classes_are_counted_pixel_by_pixel():
    outputs, targets = draws(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    found = score_batch(Task.TOKEN_CLASSIFICATION, outputs, targets)
    assert found.total == 40
    assert found.correct == int((outputs.argmax(1) == targets).sum())
    assert found.correct_top5 is None


def test_five_classes_have_no_top_five():
    assert (
        score_batch(Task.CLASSIFICATION, draws(4, 5), torch.zeros(4, dtype=torch.long)).correct_top5 is None
    )
    assert score_batch(Task.CLASSIFICATION, draws(4, 6), torch.zeros(4, dtype=torch.long)).correct_top5 >= 3


def test_r2_of_a_set_in_batches_is_that_of_the_whole():
    inputs, targets = draws(50, 3), draws(50, 2, seed=1) + 5
    model = nn.Linear(3, 2).eval()
    samples = Samples((inputs,), targets)
    found = score(model, samples, task=Task.REGRESSION, batch_size=7)
    with torch.no_grad():
        residual = (model(inputs).double() - targets).square().sum()
    total = (targets.double() - targets.double().mean(0)).square().sum()
    assert 1 - found.loss_sum / found.target_spread == pytest.approx(float(1 - residual / total), rel=1e-5)


def test_scores_add_up_to_the_score_of_all():
    outputs, targets = draws(10, 8), torch.arange(10) % 8
    whole = score_batch(Task.CLASSIFICATION, outputs, targets)
    parts = [score_batch(Task.CLASSIFICATION, outputs[a:b], targets[a:b]) for a, b in ((0, 4), (4, 10))]
    together = add(parts)
    assert (together.total, together.correct, together.correct_top5) == (
        whole.total,
        whole.correct,
        whole.correct_top5,
    )
    assert together.loss_sum == pytest.approx(whole.loss_sum)
    assert together.abs_error_sum is None


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        (Task.MULTI_LABEL, "cross_entropy"),
        *((task, loss) for task in POSITIONS for loss in ("cross_entropy", "mse")),
    ],
)
@pytest.mark.parametrize("taught", [False, True])
def test_training_lowers_the_loss(task, loss, taught):
    torch.manual_seed(0)
    inputs = draws(96, 6, 4) if task in POSITIONS else draws(96, 4)
    teacher = nn.Linear(4, 3)
    with torch.no_grad():
        logits = teacher(inputs)
    targets = (logits > 0).long() if task is Task.MULTI_LABEL else logits.argmax(-1)
    samples = Samples((inputs,), targets)
    model = nn.Linear(4, 3)
    options = {"distillation": Distillation(weight=0.5, temperature=2.0)} if taught else {}
    spec = FinetuneSpec(epochs=10, batch_size=8, loss=loss, optimizer={"type": "adam", "lr": 0.05}, **options)
    before = score(model.eval(), samples, task=task, batch_size=96)
    reports = []
    finetune(
        model,
        samples,
        spec,
        task=task,
        seed=0,
        teacher=teacher if taught else None,
        on_epoch=lambda report, _: reports.append(report),
    )
    after = score(model, samples, task=task, batch_size=96)
    reached = 0.85 if loss == "cross_entropy" else 0.75  # one-hot targets are no straight lines
    assert after.correct / after.total > reached > before.correct / before.total
    assert reports[-1].train_accuracy > reached - 0.1
    assert reports[-1].train_loss < reports[0].train_loss


def test_smoothed_labels_are_between_zero_and_one():
    outputs, targets = draws(4, 3), torch.ones(4, 3)
    smooth = loss_of(Task.MULTI_LABEL, outputs, targets, label_smoothing=0.2)
    expected = nn.functional.binary_cross_entropy_with_logits(outputs, targets * 0.9, reduction="sum")
    assert torch.allclose(smooth, expected)


def test_a_teacher_of_labels_is_met_at_its_own_outputs():
    spec = FinetuneSpec(epochs=1, distillation=Distillation(weight=1.0, temperature=3.0))
    objective = Objective(spec, Task.MULTI_LABEL)
    taught = draws(5, 4)
    outputs = taught.clone().requires_grad_()
    objective(outputs, torch.ones(5, 4), taught).backward()
    assert outputs.grad.abs().max() < 1e-6


def test_regression_has_no_right_answers():
    assert correct(Task.REGRESSION, draws(3, 1), draws(3, 1)) is None
    assert math.isfinite(score_batch(Task.REGRESSION, draws(3, 1), draws(3)).loss_sum)


def test_labels_are_not_trained_as_values():
    spec = FinetuneSpec(epochs=1, loss="mse")
    samples = Samples((draws(8, 4),), torch.ones(8, 3))
    with pytest.raises(ValueError, match="cross_entropy"):
        finetune(nn.Linear(4, 3), samples, spec, task=Task.MULTI_LABEL, seed=0)


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_one_output_is_the_logit_of_the_second_class(shape):
    logits = draws(6)
    targets = torch.tensor([0, 1, 1, 0, 1, 0])
    found = score_batch(Task.CLASSIFICATION, logits.reshape(shape), targets)
    expected = nn.functional.binary_cross_entropy_with_logits(
        logits.double(), targets.double(), reduction="sum"
    )
    assert found.total == 6
    assert found.correct == int(((logits > 0) == (targets > 0)).sum())
    assert found.loss_sum == pytest.approx(float(expected))


def test_a_single_logit_learns_with_squared_error_towards_both_sides():
    spec = FinetuneSpec.model_validate({"epochs": 1, "loss": "mse", "optimizer": {"type": "sgd", "lr": 0.1}})
    objective = Objective(spec, Task.CLASSIFICATION)
    loss = objective(torch.tensor([[0.5], [0.5]]), torch.tensor([0, 1]), None)
    assert float(loss) == pytest.approx(1.5**2 + 0.5**2)


def test_targets_are_made_for_their_task():
    one_hot = torch.eye(4, dtype=torch.int64)[[2, 0, 3]]
    assert targets_for(Task.CLASSIFICATION, one_hot, one_hot=True).tolist() == [2, 0, 3]
    assert targets_for(Task.MULTI_LABEL, one_hot, one_hot=True) is one_hot
    assert targets_for(Task.TOKEN_CLASSIFICATION, one_hot, one_hot=True) is one_hot
    positions = one_hot[None].expand(2, 3, 4)
    assert targets_for(Task.TOKEN_CLASSIFICATION, positions, one_hot=True).tolist() == [[2, 0, 3]] * 2
    assert targets_for(Task.CLASSIFICATION, torch.tensor([[1], [0]])).tolist() == [1, 0]
    assert targets_for(Task.REGRESSION, torch.tensor([[1], [0]])).dtype == torch.float32


@pytest.mark.parametrize(
    ("task", "outputs", "targets", "right"),
    [
        (Task.CLASSIFICATION, [[math.nan, 0.0, 0.0], [2.0, 1.0, 0.0]], [0, 0], 1),
        (Task.CLASSIFICATION, [[math.nan], [1.0]], [1, 1], 1),
        (Task.MULTI_LABEL, [[math.nan, math.nan], [-1.0, -1.0]], [[0, 0], [0, 0]], 2),
        (Task.TOKEN_CLASSIFICATION, [[[math.nan, 0.0], [1.0, 0.0]]], [[0, 0]], 1),
    ],
)
def test_what_is_no_number_is_no_right_answer(task, outputs, targets, right):
    score = score_batch(task, torch.tensor(outputs), torch.tensor(targets))
    assert score.correct == right
    assert "loss_sum" not in score.counts()


def test_what_is_no_number_is_not_among_the_likeliest():
    outputs = torch.full((2, 7), math.nan)
    outputs[1] = torch.arange(7.0)
    assert score_batch(Task.CLASSIFICATION, outputs, torch.tensor([0, 6])).correct_top5 == 1

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from simulator.config.tasks import Task
from simulator.evaluate import Samples, accuracy, evaluate_cells, score
from simulator.nn import analog_layers, drift_analog_weights, program_analog_weights
from simulator.tasks import Score, loss_of
from tests.unit.simulator.learning import (
    CLASSES,
    FEATURES,
    Network,
    analog,
    classification,
    drawn,
    noisy,
    regression,
)

TIMES = [1.0, 3600.0, 86400.0]
Cells = dict[tuple[int, float], Score]


class StopError(Exception):
    """What a cancelled job raises."""


def cells(
    model: nn.Module | None = None,
    *,
    repeats: object = range(3),
    times: object = TIMES,
    samples: Samples | None = None,
    task: Task = Task.CLASSIFICATION,
    batch_size: int = 16,
    **options: object,
) -> Cells:
    """Evaluate and return what each cell got."""
    found: Cells = {}

    def on_cell(repeat: int, t_s: float, result: Score) -> None:
        assert (repeat, t_s) not in found
        found[repeat, t_s] = result

    evaluate_cells(
        (model or analog()).eval(), samples or classification(), task=task, repeats=repeats, times_s=times,
        batch_size=batch_size, on_cell=on_cell, **options,
    )  # fmt: skip
    return found


# --- cells are independent ---------------------------------------------------------------------------------


def test_every_repeat_and_time_is_a_cell():
    assert set(cells()) == {(repeat, t) for repeat in range(3) for t in TIMES}


def test_cells_differ_between_chips_and_times():
    found = cells()
    assert len({result.loss_sum for result in found.values()}) == len(found)


def test_the_order_of_cells_does_not_matter():
    assert cells(repeats=[2, 0, 1], times=TIMES[::-1]) == cells()


@pytest.mark.parametrize("shards", [[range(1), range(1, 3)], [range(2), range(2, 3)], [[2], [1], [0]]])
def test_the_number_of_workers_does_not_matter(shards):
    together: Cells = {}
    for shard in shards:
        together |= cells(analog(), repeats=shard)
    assert together == cells()


def test_a_cell_alone_is_what_it_is_among_others():
    whole = cells()
    for (repeat, t), result in whole.items():
        assert cells(repeats=[repeat], times=[t]) == {(repeat, t): result}


def test_what_the_model_did_before_does_not_matter():
    model = analog().eval()
    program_analog_weights(model, repeat=17)
    drift_analog_weights(model, t_inference=5.0)
    model(*classification().inputs)
    assert cells(model) == cells()


def test_cells_that_are_done_are_left_out_and_the_others_stay():
    done = {(0, 1.0), (0, 3600.0), (0, 86400.0), (2, 3600.0)}
    whole = cells()
    assert cells(done=done) == {cell: result for cell, result in whole.items() if cell not in done}


def test_a_chip_without_missing_cells_is_not_programmed():
    model = analog()
    assert cells(model, done={(repeat, t) for repeat in range(3) for t in TIMES}) == {}
    assert all(tile.chip is None for _, layer in analog_layers(model) for tile in layer.tiles)


def test_another_seed_is_other_chips():
    one, other = cells(analog(seed=1)), cells(analog(seed=2))
    assert all(one[cell] != other[cell] for cell in one)


def test_the_configuration_is_not_part_of_the_streams():
    """Two configurations with one seed meet the same chips: the programming noise is the same."""
    one = analog(noisy(forward={"out_noise": 0.01})).eval()
    other = analog(noisy(forward={"out_noise": 0.05})).eval()
    for model in (one, other):
        program_analog_weights(model, repeat=1)
    assert torch.equal(one[0].tiles[0].chip.weights_OI, other[0].tiles[0].chip.weights_OI)


def test_batches_are_keys_of_the_noise():
    """Two batches of the same inputs meet different noise; the same batch twice meets the same."""
    model = analog().eval()
    program_analog_weights(model, repeat=0)
    drift_analog_weights(model, t_inference=1.0)
    same = drawn(1, FEATURES, key=5).expand(32, -1)
    targets = torch.zeros(32, dtype=torch.long)

    def loss(batches: int) -> float:
        part = Samples((same[: 16 * batches],), targets[: 16 * batches])
        return score(model, part, task=Task.CLASSIFICATION, batch_size=16).loss_sum

    assert loss(1) == loss(1)
    assert loss(2) != 2 * loss(1)
    assert loss(2) - loss(1) == pytest.approx(loss(1), rel=0.2)


def test_evaluation_changes_no_parameter():
    model = analog()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cells(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# --- scores ------------------------------------------------------------------------------------------------


def test_a_score_counts_as_the_definitions_say():
    model, samples = Network().eval(), classification(50)
    found = score(model, samples, task=Task.CLASSIFICATION, batch_size=16)
    outputs = model(*samples.inputs).detach()
    wanted = functional.cross_entropy(outputs.double(), samples.targets, reduction="sum")
    assert found.total == 50
    assert found.correct == int((outputs.argmax(1) == samples.targets).sum())
    assert found.loss_sum == pytest.approx(float(wanted))
    assert found.abs_error_sum is None


def test_a_regression_counts_errors():
    model, samples = Network(2).eval(), regression(50)
    found = score(model, samples, task=Task.REGRESSION, batch_size=16)
    error = model(*samples.inputs).detach() - samples.targets
    assert found.correct is None
    assert found.loss_sum == pytest.approx(float(error.square().mean(1).sum()), rel=1e-5)
    assert found.abs_error_sum == pytest.approx(float(error.abs().mean(1).sum()), rel=1e-5)


def test_targets_of_a_regression_may_lack_the_last_axis():
    samples = regression(20)
    flat = Samples(samples.inputs, samples.targets[:, 0])
    column = Samples(samples.inputs, samples.targets[:, :1])
    model = Network(1).eval()
    assert score(model, flat, task=Task.REGRESSION, batch_size=8) == score(
        model, column, task=Task.REGRESSION, batch_size=8
    )


def test_parts_of_a_test_set_add_up_to_the_whole():
    model, samples = Network().eval(), classification(48)
    whole = score(model, samples, task=Task.CLASSIFICATION, batch_size=16)
    parts = [
        score(model, samples.take(slice(start, start + 16)), task=Task.CLASSIFICATION, batch_size=16)
        for start in (0, 16, 32)
    ]
    assert sum(part.correct for part in parts) == whole.correct
    assert sum(part.loss_sum for part in parts) == pytest.approx(whole.loss_sum)


def test_the_loss_is_summed_in_double_precision():
    outputs = torch.tensor([[1e4, -1e4], [0.0, 1e-8]])
    assert float(loss_of(Task.CLASSIFICATION, outputs.double(), torch.tensor([1, 0]))) == pytest.approx(
        2e4 + math.log(2), abs=1e-6
    )


@pytest.mark.parametrize(
    ("result", "wanted"),
    [(Score(8, 1.0, correct=2), 0.25), (Score(8, 1.0), math.nan), (Score(0, 0.0, correct=0), math.nan)],
)
def test_accuracy_is_a_share_where_there_is_one(result, wanted):
    assert accuracy(result) == pytest.approx(wanted, nan_ok=True)


# --- control -----------------------------------------------------------------------------------------------


def test_progress_is_told_after_every_batch():
    seen = []
    cells(repeats=[0], times=[1.0], on_batch=seen.append)
    assert seen == [16, 16, 16, 16, 8]


def test_evaluation_can_be_stopped_between_batches():
    calls, found = [], []

    def check_stop() -> None:
        calls.append(1)
        if len(calls) == 9:  # before programming, five batches of the first cell, three of the second
            raise StopError

    with pytest.raises(StopError):
        evaluate_cells(
            analog().eval(), classification(), task=Task.CLASSIFICATION, repeats=[0], times_s=TIMES,
            batch_size=16, on_cell=lambda *cell: found.append(cell), check_stop=check_stop,
        )  # fmt: skip
    assert [(repeat, t) for repeat, t, _ in found] == [(0, 1.0)]


def test_a_model_without_analog_layers_is_the_same_on_every_chip():
    found = cells(Network())
    assert len(set(found.values())) == 1
    assert next(iter(found.values())).total == 72


def test_samples_are_taken_and_counted():
    samples = classification(10)
    assert len(samples.first(None)) == 10
    assert len(samples.first(4)) == 4
    picked = samples.take(torch.tensor([3, 1]))
    assert picked.targets.tolist() == [0, 1]
    assert torch.equal(picked.inputs[0][0], samples.inputs[0][3])
    assert len(samples.to(torch.device("cpu"))) == 10
    assert int(samples.targets.max()) == CLASSES - 1

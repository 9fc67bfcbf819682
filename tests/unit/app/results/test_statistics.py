from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from scipy import stats

from app.results import statistics
from app.results.cells import Cells
from simulator.config.tasks import COUNTS, Task


@dataclass
class Row:
    variant: str
    repeat: int
    t_inference: float
    correct: int | None
    total: int
    loss_sum: float | None
    abs_error_sum: float | None = None
    correct_top5: int | None = None
    target_spread: float | None = None

    @property
    def counts(self) -> dict[str, float]:
        found = {count.name: getattr(self, count.name) for count in COUNTS}
        return {name: value for name, value in found.items() if value is not None}


def table(rows: list[Row]) -> Cells:
    return Cells.of([(row.variant, row.repeat, row.t_inference, row.counts) for row in rows])


def only_point(task: Task, rows: list[Row]) -> statistics.Point:
    [point] = statistics.points(task, table(rows))
    return point


def cells(values: list[int], variant: str = "direct", t: float = 1.0) -> list[Row]:
    return [Row(variant, n, t, correct, 100, float(correct)) for n, correct in enumerate(values)]


def test_a_point_is_the_textbooks_statistics_over_chips() -> None:
    values = [90, 91, 95, 88, 93]
    point = only_point(Task.CLASSIFICATION, cells(values))
    shares = [value / 100 for value in values]
    low, high = stats.t.interval(0.95, 4, loc=sum(shares) / 5, scale=stats.sem(shares))
    assert point.mean == pytest.approx(0.914)
    assert point.std == pytest.approx(stats.tstd(shares))
    assert point.ci95 == pytest.approx((low, high))
    assert (point.min, point.max, point.repeats) == (0.88, 0.95, 5)
    assert point.beside["loss_mean"] == pytest.approx(0.914)


def test_one_chip_has_no_spread() -> None:
    point = only_point(Task.CLASSIFICATION, cells([90]))
    assert (point.std, point.ci95, point.p05, point.p95) == (None, None, None, None)


def test_a_loss_that_overflowed_on_one_chip_is_absent_from_the_mean() -> None:
    rows = cells([90, 80])
    rows[0].loss_sum = None
    assert only_point(Task.CLASSIFICATION, rows).beside["loss_mean"] is None


def test_series_are_ordered_by_variant_and_time() -> None:
    rows = cells([1], "hwa", 3600.0) + cells([1], "hwa", 1.0) + cells([1], "direct", 1.0)
    found = [
        (s["variant"], [p["t_inference"] for p in s["points"]])
        for s in statistics.series(Task.CLASSIFICATION, table(rows))
    ]
    assert found == [("direct", [1.0]), ("hwa", [1.0, 3600.0])]


def test_regression_reports_the_mean_squared_error() -> None:
    row = Row("direct", 0, 1.0, None, 10, 2.5, 5.0)
    assert only_point(Task.REGRESSION, [row]).mean == 0.25
    assert statistics.baseline_json(Task.REGRESSION, row.counts) == {
        "mse": 0.25,
        "mae": 0.5,
        "r2": None,
        "total": 10,
    }


def test_a_regression_that_overflowed_on_one_chip_has_no_statistics_instead_of_infinite_ones() -> None:
    rows = [Row("direct", n, 1.0, None, 10, loss, 5.0) for n, loss in enumerate([2.5, None])]
    point = only_point(Task.REGRESSION, rows)
    assert (point.mean, point.std, point.ci95, point.min, point.max) == (None, None, None, None, None)
    assert (point.repeats, point.beside["loss_mean"], point.beside["mae_mean"]) == (2, None, 0.5)


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (588, 597)])
def test_the_test_set_interval_is_wilsons(correct: int, total: int) -> None:
    expected = stats.binomtest(correct, total).proportion_ci(method="wilson")
    assert statistics.wilson95(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_r2_is_the_share_of_the_targets_variance_that_is_explained() -> None:
    rows = [Row("direct", n, 1.0, None, 10, loss, 5.0, None, 40.0) for n, loss in enumerate((4.0, 8.0))]
    assert only_point(Task.REGRESSION, rows).beside["r2_mean"] == pytest.approx((0.9 + 0.8) / 2)
    assert statistics.baseline_json(Task.REGRESSION, rows[0].counts)["r2"] == pytest.approx(0.9)
    flat = Row("direct", 0, 1.0, None, 10, 4.0, 5.0, None, 0.0)
    assert statistics.baseline_json(Task.REGRESSION, flat.counts)["r2"] is None


def test_top5_is_a_share_of_what_was_counted() -> None:
    rows = [Row("direct", n, 1.0, 5, 10, 4.0, None, top5) for n, top5 in enumerate((8, 10))]
    assert only_point(Task.CLASSIFICATION, rows).beside["top5_mean"] == pytest.approx(0.9)
    assert statistics.baseline_json(Task.CLASSIFICATION, rows[0].counts)["top5"] == pytest.approx(0.8)
    assert "top5" not in statistics.baseline_json(
        Task.CLASSIFICATION, Row("direct", 0, 1.0, 5, 10, 4.0).counts
    )


def test_next_tokens_have_a_perplexity() -> None:
    rows = [Row("direct", n, 1.0, 5, 10, 10 * math.log(p)) for n, p in enumerate((4.0, 6.0))]
    assert only_point(Task.NEXT_TOKEN, rows).mean == pytest.approx(5.0)
    assert statistics.baseline_json(Task.NEXT_TOKEN, rows[0].counts)["perplexity"] == pytest.approx(4.0)
    endless = Row("direct", 0, 1.0, 0, 10, 1e6)
    assert statistics.baseline_json(Task.NEXT_TOKEN, endless.counts)["perplexity"] is None
    assert only_point(Task.NEXT_TOKEN, [endless]).mean is None


def test_sums_do_not_depend_on_the_order_in_which_cells_came() -> None:
    draw = random.Random(5)  # noqa: S311 - no secrets
    rows = [
        Row("direct", n, t, draw.randrange(100), 100, draw.uniform(0, 1e6) ** draw.uniform(-3, 3))
        for n in range(50)
        for t in (1.0, 60.0)
    ]
    expected = statistics.points(Task.CLASSIFICATION, table(rows))
    for _ in range(5):
        draw.shuffle(rows)
        assert statistics.points(Task.CLASSIFICATION, table(rows)) == expected


def test_losses_whose_sum_no_number_holds_are_absent() -> None:
    rows = [Row("direct", n, 1.0, 1, 1, 1.7e308 / (n + 1)) for n in range(3)]
    assert only_point(Task.CLASSIFICATION, rows).beside["loss_mean"] is None
    assert only_point(Task.REGRESSION, rows).mean is None


def test_groups_of_different_sizes_have_their_own_statistics() -> None:
    rows = cells([90, 80], "direct", 1.0) + cells([70], "direct", 60.0) + cells([50, 60, 70], "hwa", 1.0)
    points = statistics.points(Task.CLASSIFICATION, table(rows))
    assert [(p.repeats, p.mean) for p in points] == [
        (2, pytest.approx(0.85)),
        (1, 0.7),
        (3, pytest.approx(0.6)),
    ]

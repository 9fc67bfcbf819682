"""Statistics over cells: computed when read, from integer counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from app.results.cells import Cells, Group, Reals

Metric = Literal["accuracy", "mse", "perplexity"]

VARIANT_ORDER = ("digital", "direct", "hwa", "control")
_STATISTICS = ("mean", "std", "ci95", "p05", "p95", "min", "max")
_LARGEST_LOG = 700.0  # of what a double can hold


class Counted(Protocol):
    """A cell or a baseline: the counts of one pass over the test set."""

    correct: int | None
    total: int
    correct_top5: int | None
    loss_sum: float | None
    abs_error_sum: float | None
    target_spread: float | None


@dataclass(frozen=True)
class Point:
    """A metric over chips at one time.

    Attributes:
        t_inference: seconds after programming.
        repeats: chip instances that have been evaluated.
        mean: mean of the metric over instances; None, as all of its statistics, when an instance's was not
            finite.
        std: sample standard deviation over instances; None for one instance.
        ci95: Student's t interval of the mean over instances; it does not cover the finite test set.
        p05: 5 % quantile over instances.
        p95: 95 % quantile over instances.
        min: the worst instance's value.
        max: the best instance's value.
        loss_mean: mean loss per sample; None when an instance's loss was not finite.
        mae_mean: mean absolute error per sample; None but for a regression.
        r2_mean: share of the targets' variance that is explained, mean over instances; None but for a
            regression.
        top5_mean: share of right classes among the five likeliest, mean over instances; None without more
            than five classes.
    """

    t_inference: float
    repeats: int
    mean: float | None
    std: float | None
    ci95: tuple[float, float] | None
    p05: float | None
    p95: float | None
    min: float | None
    max: float | None
    loss_mean: float | None
    mae_mean: float | None
    r2_mean: float | None
    top5_mean: float | None


def metric_name(task: str) -> Metric:
    """Return the name of a task's metric."""
    metrics: dict[str, Metric] = {"regression": "mse", "next_token": "perplexity"}
    return metrics.get(task, "accuracy")


def metric_of(task: str, counts: Counted) -> float:
    """Return the metric of one pass over the test set; infinite where a loss was not finite."""
    metric = metric_name(task)
    if metric == "accuracy":
        return (counts.correct or 0) / counts.total
    if counts.loss_sum is None:
        return math.inf
    loss = counts.loss_sum / counts.total
    if metric == "mse":
        return loss
    return math.exp(loss) if loss < _LARGEST_LOG else math.inf


def baseline_json(task: str, counts: Counted) -> dict[str, Any]:
    """Return a model's floating-point result."""
    loss = None if counts.loss_sum is None else counts.loss_sum / counts.total
    if task == "regression":
        mae = _mean(counts.abs_error_sum, counts.total)
        return {"mse": loss, "mae": mae, "r2": _r2(counts), "total": counts.total}
    answer: dict[str, Any] = {
        "accuracy": (counts.correct or 0) / counts.total,
        "correct": counts.correct,
        "total": counts.total,
        "loss": loss,
    }
    if counts.correct_top5 is not None:
        answer["top5"] = counts.correct_top5 / counts.total
    if task == "next_token":
        perplexity = metric_of(task, counts)
        answer["perplexity"] = perplexity if math.isfinite(perplexity) else None
    return answer


def _r2(counts: Counted) -> float | None:
    """Return the share of the targets' variance that is explained; None where they have none."""
    if counts.loss_sum is None or not counts.target_spread:
        return None
    return 1 - counts.loss_sum / counts.target_spread


def metrics_of(task: str, cells: Cells) -> Reals:
    """Return the metric of every cell, `[cells]`, as `metric_of` does."""
    import numpy as np  # here, so that the API starts without it

    metric, columns = metric_name(task), cells.columns
    if metric == "accuracy":
        return np.nan_to_num(columns["correct"]) / columns["total"]
    loss = columns["loss_sum"] / columns["total"]
    loss = np.where(np.isnan(loss), np.inf, loss)
    if metric == "mse":
        return loss
    return np.where(loss < _LARGEST_LOG, np.exp(np.minimum(loss, _LARGEST_LOG)), np.inf)


def series(task: str, cells: Cells) -> list[dict[str, Any]]:
    """Return each variant's points in the order of time."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one, group in zip(points(task, cells), cells.groups, strict=True):
        found.setdefault(group.variant, []).append(asdict(one))
    return [
        {"variant": variant, "points": found[variant]} for variant in sorted(found, key=VARIANT_ORDER.index)
    ]


def points(task: str, cells: Cells) -> list[Point]:
    """Return the statistics of every variant and time, in the order of the table's groups.

    Sums are exact before they are rounded, so that they do not depend on the order in which cells came.
    """
    import numpy as np

    metrics, columns = metrics_of(task, cells), cells.columns
    spread = columns["target_spread"]
    with np.errstate(all="ignore"):
        r2 = np.where(spread > 0, 1 - columns["loss_sum"] / spread, np.nan)
    statistics = _statistics(metrics, cells.groups)
    found = []
    for group in cells.groups:
        rows = group.rows
        samples = int(columns["total"][rows].sum())
        found.append(
            Point(
                t_inference=group.t_inference,
                repeats=len(group),
                loss_mean=_mean(_sum(columns["loss_sum"][rows]), samples),
                mae_mean=_mean(_sum(columns["abs_error_sum"][rows]), samples),
                r2_mean=_mean(_sum(r2[rows]), len(group)),
                top5_mean=_mean(_sum(columns["correct_top5"][rows]), samples),
                **statistics[group.start],
            )
        )
    return found


def _statistics(metrics: Reals, groups: Sequence[Group]) -> dict[int, dict[str, Any]]:
    """Return the statistics of each group by its first row; groups of equal size are computed together."""
    import numpy as np

    sizes: dict[int, list[int]] = {}
    for group in groups:
        sizes.setdefault(len(group), []).append(group.start)
    found: dict[int, dict[str, Any]] = {}
    for size, starts in sizes.items():
        values = metrics[np.array(starts)[:, None] + np.arange(size)]
        finite = np.asarray(np.isfinite(values).all(axis=1))
        values = np.where(finite[:, None], values, 0.0)
        half = np.zeros(len(starts))
        with np.errstate(over="ignore", invalid="ignore"):
            columns = {"mean": values.mean(axis=1), "min": values.min(axis=1), "max": values.max(axis=1)}
            if size > 1:
                columns["std"] = values.std(axis=1, ddof=1)
                columns["p05"], columns["p95"] = np.quantile(values, [0.05, 0.95], axis=1)
                half = student_t95(size - 1) * columns["std"] / math.sqrt(size)
        for column in columns.values():
            finite &= np.isfinite(column)  # enormous values of chips can be finite where their sum is not
        for row, start in enumerate(starts):
            one: dict[str, Any] = dict.fromkeys(_STATISTICS)
            if finite[row]:
                one |= {name: float(column[row]) for name, column in columns.items()}
                if size > 1:
                    one["ci95"] = (one["mean"] - float(half[row]), one["mean"] + float(half[row]))
            found[start] = one
    return found


def with_test_set(all_series: list[dict[str, Any]], samples: int) -> list[dict[str, Any]]:
    """Return the series of a classification with Wilson's interval for the test set at every point."""
    return [
        {
            **one,
            "points": [
                {**point, "test_set_ci95": wilson95(point["mean"] * samples, samples)}
                for point in one["points"]
            ],
        }
        for one in all_series
    ]


def wilson95(correct: float, total: int) -> tuple[float, float]:
    """Return Wilson's score interval: what the finite test set leaves open about an accuracy."""
    z = 1.959963984540054
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


@lru_cache(maxsize=1024)
def student_t95(degrees: float) -> float:
    """Return the factor of Student's two-sided 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def _sum(values: Reals) -> float | None:
    try:
        total = math.fsum(values.tolist())
    except OverflowError:  # of finite values: their sum is no number that JSON has
        return None
    return total if math.isfinite(total) else None


def _mean(total: float | None, count: int) -> float | None:
    return None if total is None else total / count

"""Statistics over cells: computed when read, from integer counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

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


class CellRow(Counted, Protocol):
    """A cell."""

    variant: str
    repeat: int
    t_inference: float


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


def series(task: str, cells: Iterable[CellRow]) -> list[dict[str, Any]]:
    """Return each variant's points in the order of time."""
    groups: dict[str, dict[float, list[CellRow]]] = {}
    for cell in cells:
        groups.setdefault(cell.variant, {}).setdefault(cell.t_inference, []).append(cell)
    return [
        {
            "variant": variant,
            "points": [asdict(point(task, t, group)) for t, group in sorted(groups[variant].items())],
        }
        for variant in sorted(groups, key=VARIANT_ORDER.index)
    ]


def point(task: str, t_inference: float, cells: Sequence[CellRow]) -> Point:
    """Return the statistics of the cells of one variant and time."""
    import numpy as np  # here, so that the API starts without it

    values = np.array([metric_of(task, cell) for cell in cells])
    samples = sum(cell.total for cell in cells)
    statistics: dict[str, Any] = dict.fromkeys(_STATISTICS)
    if np.isfinite(values).all():
        mean = float(values.mean())
        statistics |= {"mean": mean, "min": float(values.min()), "max": float(values.max())}
        if len(values) > 1:
            std = float(values.std(ddof=1))
            half = student_t95(len(values) - 1) * std / math.sqrt(len(values))
            p05, p95 = (float(q) for q in np.quantile(values, [0.05, 0.95]))
            statistics |= {"std": std, "ci95": (mean - half, mean + half), "p05": p05, "p95": p95}
    return Point(
        t_inference=t_inference,
        repeats=len(values),
        loss_mean=_mean(_sum(cell.loss_sum for cell in cells), samples),
        mae_mean=_mean(_sum(cell.abs_error_sum for cell in cells), samples),
        r2_mean=_mean(_sum(_r2(cell) for cell in cells), len(cells)),
        top5_mean=_mean(_sum(cell.correct_top5 for cell in cells), samples),
        **statistics,
    )


def wilson95(correct: int, total: int) -> tuple[float, float]:
    """Return Wilson's score interval: what the finite test set leaves open about an accuracy."""
    z = 1.959963984540054
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def student_t95(degrees: float) -> float:
    """Return the factor of Student's two-sided 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _mean(total: float | None, count: int) -> float | None:
    return None if total is None else total / count

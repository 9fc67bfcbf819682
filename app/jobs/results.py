"""Statistics over cells: computed when read, from integer counts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

VARIANT_ORDER = ("digital", "direct", "hwa", "control")


class Counted(Protocol):
    """A cell or a baseline: the counts of one pass over the test set."""

    correct: int | None
    total: int
    loss_sum: float | None
    abs_error_sum: float | None


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
        mean: mean of the metric over instances.
        std: sample standard deviation over instances; None for one instance.
        ci95: Student's t interval of the mean over instances; it does not cover the finite test set.
        p05: 5 % quantile over instances.
        p95: 95 % quantile over instances.
        min: the worst instance's value.
        max: the best instance's value.
        loss_mean: mean loss per sample; None when an instance's loss was not finite.
    """

    t_inference: float
    repeats: int
    mean: float
    std: float | None
    ci95: tuple[float, float] | None
    p05: float | None
    p95: float | None
    min: float
    max: float
    loss_mean: float | None


def metric_name(task: str) -> str:
    """Return the name of a task's metric."""
    return "accuracy" if task == "classification" else "mse"


def metric_of(task: str, counts: Counted) -> float:
    """Return the metric of one pass over the test set; infinite for a regression that overflowed."""
    if task == "classification":
        return (counts.correct or 0) / counts.total
    return math.inf if counts.loss_sum is None else counts.loss_sum / counts.total


def baseline_json(task: str, counts: Counted) -> dict[str, Any]:
    """Return a model's floating-point result."""
    loss = None if counts.loss_sum is None else counts.loss_sum / counts.total
    if task == "classification":
        return {
            "accuracy": metric_of(task, counts),
            "correct": counts.correct,
            "total": counts.total,
            "loss": loss,
        }
    return {"mse": loss, "mae": _mean(counts.abs_error_sum, counts.total), "total": counts.total}


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
    losses = [cell.loss_sum for cell in cells]
    finite = [loss for loss in losses if loss is not None]
    loss_mean = sum(finite) / sum(cell.total for cell in cells) if len(finite) == len(losses) else None
    mean = float(values.mean())
    spread: dict[str, Any] = {"std": None, "ci95": None, "p05": None, "p95": None}
    if len(values) > 1:
        std = float(values.std(ddof=1))
        half = student_t95(len(values) - 1) * std / math.sqrt(len(values))
        p05, p95 = (float(q) for q in np.quantile(values, [0.05, 0.95]))
        spread = {"std": std, "ci95": (mean - half, mean + half), "p05": p05, "p95": p95}
    return Point(
        t_inference=t_inference,
        repeats=len(values),
        mean=mean,
        min=float(values.min()),
        max=float(values.max()),
        loss_mean=loss_mean,
        **spread,
    )


def wilson95(correct: int, total: int) -> tuple[float, float]:
    """Return Wilson's score interval: what the finite test set leaves open about an accuracy."""
    z = 1.959963984540054
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


CSV_COLUMNS = (
    "variant",
    "t_inference",
    "repeats",
    "mean",
    "std",
    "ci95_low",
    "ci95_high",
    "p05",
    "p95",
    "min",
    "max",
    "loss_mean",
)  # fmt: skip


def to_csv(all_series: Sequence[dict[str, Any]]) -> str:
    """Return the series as CSV with a header; absent values are empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS)
    writer.writeheader()
    for one in all_series:
        for values in one["points"]:
            low, high = values["ci95"] or (None, None)
            row = {**values, "variant": one["variant"], "ci95_low": low, "ci95_high": high}
            row.pop("ci95")
            writer.writerow(row)
    return buffer.getvalue()


CELL_COLUMNS = ("variant", "repeat", "t_inference", "correct", "total", "loss_sum", "abs_error_sum")


def cells_to_csv(cells: Iterable[CellRow]) -> str:
    """Return the cells as CSV with a header; absent values are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CELL_COLUMNS)
    for cell in cells:
        writer.writerow([getattr(cell, name) for name in CELL_COLUMNS])
    return buffer.getvalue()


def student_t95(degrees: float) -> float:
    """Return the factor of Student's two-sided 95 % interval."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def _mean(total: float | None, count: int) -> float | None:
    return None if total is None else total / count

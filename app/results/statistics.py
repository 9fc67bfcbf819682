"""Statistics over cells: computed when read, from integer counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.engine.kinds.inference.waves import half_width
from simulator.config import Variant
from simulator.config.tasks import (
    BESIDE,
    LARGEST_EXPONENT,
    QUANTITIES,
    TASKS,
    Counts,
    Form,
    Quantity,
    Task,
)

if TYPE_CHECKING:
    from app.results.cells import Cells, Group, Reals
    from simulator.config.evaluation import RepeatsUntil

VARIANT_ORDER = tuple(Variant)
_STATISTICS = ("mean", "std", "ci95", "p05", "p95", "min", "max")


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
        ci95_adaptive: the interval that stays valid although waves of chips are looked at one by one; None
            where their number is fixed, and within a wave (`app.engine.kinds.inference.waves`).
        goal_reached: whether that is as narrow as the job asked for; None where it is None, and where the job
            judges another variant or time.
        p05: 5 % quantile over instances.
        p95: 95 % quantile over instances.
        min: the worst instance's value.
        max: the best instance's value.
        beside: means of `simulator.config.tasks.BESIDE`, as `loss_mean`; None where a chip has none.
    """

    t_inference: float
    repeats: int
    mean: float | None
    std: float | None
    ci95: tuple[float, float] | None
    ci95_adaptive: tuple[float, float] | None
    goal_reached: bool | None
    p05: float | None
    p95: float | None
    min: float | None
    max: float | None
    beside: dict[str, float | None]

    def as_json(self) -> dict[str, Any]:
        """Return the point as answers have it."""
        point = asdict(self)
        return {**point, **point.pop("beside")}


def baseline_json(task: Task, counts: Counts) -> dict[str, Any]:
    """Return a model's floating-point result."""
    answer: dict[str, Any] = {}
    for name in TASKS[task].baseline:
        quantity = QUANTITIES.get(name)
        if quantity is None:
            answer[name] = counts.get(name)
        elif not quantity.optional or quantity.of in counts:
            answer[name] = quantity.value(counts)
    return answer


def metrics_of(task: Task, cells: Cells) -> Reals:
    """Return the metric of every cell, `[cells]`; infinite where it is not finite."""
    import numpy as np  # here, so that the API starts without it

    values = _values(QUANTITIES[TASKS[task].metric], cells)
    return np.where(np.isnan(values), np.inf, values)


def _values(quantity: Quantity, cells: Cells) -> Reals:
    """Return a quantity of every cell, `[cells]`, as `Quantity.value` does; NaN where it has none."""
    import numpy as np

    above, below = cells.columns[quantity.of], cells.columns[quantity.per]
    with np.errstate(all="ignore"):
        ratio = np.where(below == 0, np.nan, above / below)
        if quantity.form is Form.EXPONENTIAL:
            return np.where(ratio < LARGEST_EXPONENT, np.exp(np.minimum(ratio, LARGEST_EXPONENT)), np.nan)
        return 1 - ratio if quantity.form is Form.ONE_MINUS else ratio


def series(task: Task, cells: Cells, until: RepeatsUntil | None = None) -> list[dict[str, Any]]:
    """Return each variant's points in the order of time."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one, group in zip(points(task, cells, until), cells.groups, strict=True):
        found.setdefault(group.variant, []).append(one.as_json())
    return [
        {"variant": variant, "points": found[variant]} for variant in sorted(found, key=VARIANT_ORDER.index)
    ]


def points(task: Task, cells: Cells, until: RepeatsUntil | None = None) -> list[Point]:
    """Return the statistics of every variant and time, in the order of the table's groups.

    Sums are exact before they are rounded, so that they do not depend on the order in which cells came.

    Args:
        task: what the network is asked to do.
        cells: the job's.
        until: what decides how many chips there are; None where their number is fixed.
    """
    statistics = _statistics(metrics_of(task, cells), cells.groups)
    beside = {name: _values(QUANTITIES[name], cells) for name in BESIDE}
    return [
        Point(
            t_inference=group.t_inference,
            repeats=len(group),
            beside={
                f"{name}_mean": _over_chips(name, cells, values, group) for name, values in beside.items()
            },
            **statistics[group.start],
            **_adaptive(group, statistics[group.start], until),
        )
        for group in cells.groups
    ]


def _adaptive(group: Group, found: Mapping[str, Any], until: RepeatsUntil | None) -> dict[str, Any]:
    std = found["std"]
    half = None if until is None or std is None else half_width(std, len(group), until)
    if until is None or half is None:
        return {"ci95_adaptive": None, "goal_reached": None}
    is_judged = until.on is None or (until.on.variant, until.on.t_inference) == (
        group.variant,
        group.t_inference,
    )
    return {
        "ci95_adaptive": (found["mean"] - half, found["mean"] + half),
        "goal_reached": half <= until.until_ci95 if is_judged else None,
    }


def _over_chips(name: str, cells: Cells, values: Reals, group: Group) -> float | None:
    """Return the mean of a quantity over chips: ratios of their sums, others chip by chip."""
    quantity, rows = QUANTITIES[name], group.rows
    if quantity.form is Form.RATIO:
        below = _sum(cells.columns[quantity.per][rows])
        return _mean(_sum(cells.columns[quantity.of][rows]), below)
    return _mean(_sum(values[rows]), len(group))


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
    return wilson(correct, total, 1.959963984540054)


def wilson(correct: float, total: int, z: float) -> tuple[float, float]:
    """Return Wilson's score interval.

    Args:
        correct: successes; a mean over several passes need not be whole.
        total: trials.
        z: quantile of the normal distribution for the interval's level.
    """
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def student_t95(degrees: float) -> float:
    """Return the factor of Student's two-sided 95 % interval."""
    return student_t(degrees, 0.05)


@lru_cache(maxsize=1024)
def student_t(degrees: float, error: float) -> float:
    """Return the factor of Student's two-sided interval that misses with a probability of `error`."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 1 - error / 2))


def _sum(values: Reals) -> float | None:
    try:
        total = math.fsum(values.tolist())
    except OverflowError:  # of finite values: their sum is no number that JSON has
        return None
    return total if math.isfinite(total) else None


def _mean(total: float | None, count: float | None) -> float | None:
    return None if total is None or not count else total / count

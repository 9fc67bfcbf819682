"""A job's results as a table: times in rows, variants in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.results.findings import Findings
from simulator.config.tasks import Metric


@dataclass(frozen=True)
class ResultTable:
    """Points by time and variant.

    Attributes:
        metric: what they are of.
        digital: of the model as uploaded; None before it is known.
        variants: that have points.
        rows: (seconds, points in the order of the variants; None where there is none).
        chips: the most chips of a point.
        until: what decides how many chips there are; None where their number is fixed.
        is_served: whether something is done to chips by a schedule.
    """

    metric: str
    digital: float | None
    variants: Sequence[str]
    rows: Sequence[tuple[float, Sequence[Mapping[str, Any] | None]]]
    chips: int
    until: Mapping[str, Any] | None
    is_served: bool


def result_table(answer: Mapping[str, Any]) -> ResultTable:
    """Return the table of a job's results."""
    by_variant = {
        one["variant"]: {point["t_inference"]: point for point in one["points"]} for one in answer["series"]
    }
    times = sorted({time for points in by_variant.values() for time in points})
    return ResultTable(
        metric=answer["metric"],
        digital=answer["baseline"].get("digital", {}).get(answer["metric"]),
        variants=list(by_variant),
        rows=[(time, [points.get(time) for points in by_variant.values()]) for time in times],
        chips=max(
            (point["repeats"] for points in by_variant.values() for point in points.values()), default=0
        ),
        until=answer["repeats_until"],
        is_served=bool(answer.get("maintenance")),
    )


@dataclass(frozen=True)
class Limit:
    """The threshold that chips have to hold, as the page's field and links have it.

    Attributes:
        value: in the metric's unit; None where it refers to a digital result that is not there.
        shown: what the field has: a percentage for an accuracy.
        query: of links to the lifetime, with its question mark.
    """

    value: float | None
    shown: str
    query: str


def limit(found: Findings) -> Limit:
    """Return the threshold of a job's findings."""
    if found.threshold is None:
        return Limit(None, "", "")
    value = found.threshold.value
    is_accuracy = found.threshold.metric is Metric.ACCURACY
    name = "accuracy" if is_accuracy else "threshold"
    shown = f"{100 * value:.2f}".rstrip("0").rstrip(".") if is_accuracy else f"{value:.4g}"
    return Limit(value, shown, f"?{name}={value:.6g}")

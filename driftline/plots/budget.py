"""Which group of effects costs how much: from digital to analog, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from driftline.plots import files, style
from driftline.times import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PANELS: Final = 6
_ROW_INCHES: Final = 0.3
_LOST: Final = "#D55E00"
_WON: Final = "#009E73"


@dataclass(frozen=True)
class Step:
    """A step of a waterfall.

    Attributes:
        name: what it is.
        begin: where it begins, in the metric's unit.
        end: where it ends.
        low: end of the interval of its end; None without.
        high: the other end.
        kind: `level` for digital and analog, `step`, or `alone` for one that others do not go on from.
    """

    name: str
    begin: float
    end: float
    low: float | None = None
    high: float | None = None
    kind: str = "step"


def waterfall(budget: Mapping[str, Any], total: Mapping[str, Any]) -> list[Step]:
    """Return the steps from digital to analog of one variant at one time; none before there are any.

    With shares these are the steps. Without, each group has what it costs alone, from where mapping ends.

    Args:
        budget: as the analyses endpoint answers it.
        total: one of its totals.
    """
    where = (total["variant"], total["t_inference"])
    whole, digital = total["total"], total["digital"]
    if whole is None or whole["mean"] is None or digital is None:
        return []
    sign = -1.0 if budget["metric"] == "accuracy" else 1.0
    rows = [one for one in budget["rows"] if (one["variant"], one["t_inference"]) == where and one["on"]]
    key = "share" if budget["method"] == "shapley" else "alone"
    steps = [Step("digital", 0.0, digital, kind="level")]
    at = digital
    for row in rows:
        cost = row[key]
        if cost is None or cost["mean"] is None:
            return []
        end = at + sign * cost["mean"]
        low, high = (None, None) if cost["ci95"] is None else (at + sign * one for one in cost["ci95"])
        goes_on = key == "share" or row["group"] == "mapping"
        kind = "step" if goes_on else "alone"
        steps.append(Step(row["group"].replace("_", " "), at, end, low, high, kind))
        at = end if goes_on else at
    analog = digital + sign * whole["mean"]
    low, high = (None, None) if whole["ci95"] is None else (digital + sign * one for one in whole["ci95"])
    return [*steps, Step("analog", 0.0, analog, low, high, kind="level")]


def error_budget(budget: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of an error budget: a waterfall from digital to analog, and what would come back.

    Args:
        budget: as the analyses endpoint answers it.
        title: such as the job's name.
    """
    found = [(total, waterfall(budget, total)) for total in budget["totals"]]
    found = [(total, steps) for total, steps in found if steps][:_MOST_PANELS]
    heights = [_ROW_INCHES * len(steps) for _, steps in found] or [2.0]
    figure = style.new_figure(9.0, 0.9 + sum(heights) + 0.75 * len(heights))
    panels = figure.subplots(len(heights), 2, squeeze=False, height_ratios=heights, width_ratios=(3, 2))
    if not found:
        for axes in panels[0]:
            axes.set_axis_off()
        panels[0][0].text(0.0, 0.5, "not all of it is computed yet")
    for (left, right), (total, steps) in zip(panels, found, strict=False):
        _draw_steps(left, steps, budget["metric"], style.VARIANTS[total["variant"]])
        _draw_without(right, budget, total, steps)
        left.set_title(f"{total['variant']}, {in_words(total['t_inference'])}", fontsize=9, loc="left")
    files.set_title(figure, title)
    return figure


def _draw_steps(axes: Axes, steps: Sequence[Step], metric: str, analog: style.Look) -> None:
    factor = style.scale_of(metric)
    for row, step in enumerate(steps):
        colour = _colour(step, metric, analog)
        axes.barh(row, factor * (step.end - step.begin), 0.62, left=factor * step.begin, color=colour)
        if step.low is not None and step.high is not None:
            ends = sorted((factor * step.low, factor * step.high))
            axes.plot(ends, [row, row], color="black", linewidth=1, marker="|", markersize=5)
        if row + 1 < len(steps):
            link = factor * (step.begin if step.kind == "alone" else step.end)
            axes.plot([link, link], [row - 0.31, row + 1.31], color=style.QUIET, linewidth=0.7)
    axes.set_yticks(range(len(steps)), [step.name for step in steps], fontsize=8)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    ends = [factor * end for step in steps for end in (step.end, step.low, step.high) if end is not None]
    margin = 0.08 * (max(ends) - min(ends)) or 1.0
    axes.set_xlim(max(0.0, min(ends) - margin), max(ends) + margin)
    axes.set_xlabel(style.metric_label(metric), fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    style.finish(axes)
    axes.grid(visible=False, axis="y")


def _colour(step: Step, metric: str, analog: style.Look) -> str:
    if step.kind == "level":
        return style.DIGITAL.colour if step.name == "digital" else analog.colour
    is_lost = step.end < step.begin if metric == "accuracy" else step.end > step.begin
    return _LOST if is_lost else _WON


def _draw_without(
    axes: Axes, budget: Mapping[str, Any], total: Mapping[str, Any], steps: Sequence[Step]
) -> None:
    factor = style.scale_of(budget["metric"])
    where = (total["variant"], total["t_inference"])
    by_name = {
        row["group"].replace("_", " "): row["without"]
        for row in budget["rows"]
        if (row["variant"], row["t_inference"]) == where and row["without"] is not None
    }
    for place, step in enumerate(steps):
        value = by_name.get(step.name)
        if value is None or value["mean"] is None or step.kind == "level":
            continue
        axes.barh(place, factor * value["mean"], 0.62, color=_WON if value["mean"] >= 0 else _LOST)
        if value["ci95"] is not None:
            axes.plot(
                [factor * one for one in value["ci95"]], [place] * 2, color="black", linewidth=1, marker="|"
            )
    axes.axvline(0, color=style.QUIET, linewidth=0.7)
    axes.set_ylim(len(steps) - 0.5, -0.5)
    axes.set_yticks([])
    unit = "points" if budget["metric"] == "accuracy" else budget["metric"]
    axes.set_xlabel(f"won back without this group ({unit})", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    style.finish(axes)
    axes.grid(visible=False, axis="y")

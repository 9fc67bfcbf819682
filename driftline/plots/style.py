"""The one look of all pictures: colours, dashes and markers of variants, axes of time, names of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from driftline.times import TICKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Look:
    """How a variant is drawn; dash and marker distinguish it without colour.

    Attributes:
        colour: of Okabe and Ito's palette, which every kind of eye distinguishes.
        dash: matplotlib's name of the line.
        marker: matplotlib's name of the points.
        label: in a legend.
    """

    colour: str
    dash: str
    marker: str
    label: str


VARIANTS: Final = {
    "direct": Look("#D55E00", "-", "o", "programmed as it is"),
    "hwa": Look("#0072B2", "-.", "s", "after HWA fine-tuning"),
    "control": Look("#7F7F7F", ":", "^", "after noise-free fine-tuning"),
}
DIGITAL: Final = Look("#000000", "--", "", "digital, as uploaded")
# Of jobs that are drawn over each other, in their order.
JOBS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
# Of bars and steps that are no variant's.
PLAIN: Final = "#0072B2"
FAINT: Final = "0.9"
QUIET: Final = "0.4"

_METRICS: Final = {"accuracy": "test accuracy", "mse": "mean squared error"}
_EARLIEST_S = 0.1


def new_figure(width: float = 8.0, height: float = 4.8) -> Figure:
    """Return an empty figure that no global state of matplotlib knows, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from driftline.plots.figure import ShownFigure

    figure = ShownFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def metric_label(metric: str) -> str:
    """Return what a metric's axis is called, with its unit."""
    name = _METRICS.get(metric, metric)
    return f"{name} (%)" if metric == "accuracy" else name


def scale_of(metric: str) -> float:
    """Return the factor from a metric's value to its place on the axis."""
    return 100.0 if metric == "accuracy" else 1.0


def place(time_s: float) -> float:
    """Return where a time is drawn: a logarithmic axis has no zero, so earlier than 0.1 s is drawn there."""
    return max(time_s, _EARLIEST_S)


def time_axis(axes: Axes, times_s: Sequence[float]) -> None:
    """Make an axis one of times after programming, marked in units that people use."""
    axes.set_xlabel("time after programming")
    if not times_s:
        return
    axes.set_xscale("log")
    first, last = place(min(times_s)), place(max(times_s))
    ticks = [(value, label) for value, label in TICKS if first / 2 <= value <= last * 2]
    if min(times_s) < _EARLIEST_S:
        ticks.insert(0, (_EARLIEST_S, "programmed"))
    axes.set_xticks([value for value, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    axes.set_xlim(first / 2, last * 2)


def draw_waves(
    axes: Axes, points: Sequence[Mapping[str, Any]], colour: str, marker: str, factor: float
) -> None:
    """Draw what points of chips in waves have besides: the interval that stays valid, and unmet goals."""
    for point in points:
        if point.get("ci95_adaptive") is None:
            continue
        x = place(point["t_inference"])
        low, high = (factor * end for end in point["ci95_adaptive"])
        axes.plot([x, x], [low, high], color=colour, linewidth=0.8, linestyle=":", marker="_", markersize=4)
        if point.get("goal_reached") is False:
            axes.plot(
                [x], [factor * point["mean"]], color=colour, marker=marker, markersize=5, linestyle="",
                markerfacecolor="white", zorder=4,
            )  # fmt: skip


def note_waves(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    """Say below the picture what `draw_waves` has drawn, if it has."""
    if all(point.get("ci95_adaptive") is None for point in points):
        return
    note = "dotted: the interval that stays valid although each wave of chips was looked at"
    if any(point.get("goal_reached") is False for point in points):
        note += "; hollow: wider than the job's goal"
    axes.annotate(
        note, (0, 0), (0, -52), xycoords="axes fraction", textcoords="offset points", fontsize=7, color=QUIET
    )


def finish(axes: Axes, *, note: str = "") -> None:
    """Draw what all pictures have: the grid, a legend where something is named, a note below."""
    axes.grid(visible=True, color=FAINT)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    if note:
        axes.annotate(
            note, (0, 0), (0, -42), xycoords="axes fraction", textcoords="offset points", fontsize=7,
            color=QUIET,
        )  # fmt: skip

"""The metric over time after programming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from driftline.plots import files, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MOST_MARKS: Final = 40  # of one rule's services


def accuracy(results: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of results over time: mean over chips, its 95 % interval, 5 to 95 % of chips.

    Args:
        results: as the results endpoint answers them.
        title: such as the job's name.
    """
    figure = style.new_figure()
    axes = figure.add_subplot()
    is_accuracy = results["metric"] == "accuracy"
    factor = style.scale_of(results["metric"])
    times: list[float] = []
    for one in results["series"]:
        points = [point for point in one["points"] if point["mean"] is not None]
        times += [point["t_inference"] for point in points]
        _draw_series(axes, points, style.VARIANTS[one["variant"]], factor, is_share=is_accuracy)
    digital = results["baseline"].get("digital", {}).get(results["metric"])
    if digital is not None:
        axes.axhline(
            factor * digital, color=style.DIGITAL.colour, linestyle=style.DIGITAL.dash, linewidth=1,
            label=style.DIGITAL.label,
        )  # fmt: skip
    style.time_axis(axes, times)
    if times and results.get("maintenance"):
        _draw_services(axes, results["maintenance"], max(times))
    axes.set_ylabel(style.metric_label(results["metric"]))
    files.set_title(figure, title)
    if is_accuracy:
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, 0.0), min(top, 100.0))
    style.finish(axes, note="bars: 95 % interval of the mean over chips; bands: 5 to 95 % of chips")
    style.note_waves(axes, [point for one in results["series"] for point in one["points"]])
    return figure


def _draw_services(axes: Axes, schedule: Sequence[Mapping[str, Any]], last_s: float) -> None:
    """Mark the services on the axis; of many at an interval some, spread evenly over the axis."""
    found: dict[str, list[float]] = {}
    for rule in schedule:
        times = rule["at"] or _multiples(rule["every"], last_s)
        label = " and ".join(kind.replace("_", " ") for kind in rule["do"])
        found.setdefault(label, []).extend(style.place(time_s) for time_s in times if time_s <= last_s)
    for number, (label, shown) in enumerate(found.items()):
        if shown:
            axes.plot(
                shown, [0.015 + 0.03 * number] * len(shown), transform=axes.get_xaxis_transform(),
                linestyle="none", marker="^", markersize=4, color=style.JOBS[-1 - number % len(style.JOBS)],
                label=f"service: {label}", zorder=3,
            )  # fmt: skip


def _multiples(interval_s: float, last_s: float) -> list[float]:
    count = int(last_s / interval_s)
    if count <= _MOST_MARKS:
        return [number * interval_s for number in range(1, count + 1)]
    chosen = {round(count ** (step / (_MOST_MARKS - 1))) for step in range(_MOST_MARKS)}
    return [number * interval_s for number in sorted(chosen)]


def _draw_series(
    axes: Axes, points: list[Mapping[str, Any]], look: style.Look, factor: float, *, is_share: bool
) -> None:
    x = [style.place(point["t_inference"]) for point in points]
    if points and all(point["p05"] is not None for point in points):
        low, high = ([factor * point[key] for point in points] for key in ("p05", "p95"))
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
    mean = [factor * point["mean"] for point in points]
    half = [0.0 if point["ci95"] is None else factor * (point["ci95"][1] - point["mean"]) for point in points]
    upper = [min(size, 100.0 - m) for size, m in zip(half, mean, strict=True)] if is_share else half
    axes.errorbar(
        x, mean, yerr=[half, upper], color=look.colour, marker=look.marker, linestyle=look.dash, markersize=4,
        capsize=3, label=look.label,
    )  # fmt: skip
    style.draw_waves(axes, points, look.colour, look.marker, factor)

"""Several jobs over each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftline.plots import files, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAME_COLUMNS = 30


def compare(comparison: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of several jobs: one colour a job, one dash and marker a variant.

    Args:
        comparison: as the compare endpoint answers it.
        title: over the picture.
    """
    figure = style.new_figure()
    axes = figure.add_subplot()
    factor = style.scale_of(comparison["metric"])
    times: list[float] = []
    drawn: list[Mapping[str, Any]] = []
    for job, colour in zip(comparison["jobs"], style.JOBS, strict=False):
        name = files.drawable(figure, _short(job["name"] or job["id"]))
        for variant, look in style.VARIANTS.items():
            points = [
                point["points"][job["id"]]
                for point in comparison["points"]
                if point["variant"] == variant and job["id"] in point["points"]
            ]
            points = [point for point in points if point["mean"] is not None]
            if not points:
                continue
            times += [point["t_inference"] for point in points]
            x = [style.place(point["t_inference"]) for point in points]
            half = [
                0.0 if point["ci95"] is None else factor * (point["ci95"][1] - point["mean"])
                for point in points
            ]
            axes.errorbar(
                x, [factor * point["mean"] for point in points], yerr=half, color=colour, linestyle=look.dash,
                marker=look.marker, markersize=4, capsize=3, label=f"{name}: {variant}",
            )  # fmt: skip
            style.draw_waves(axes, points, colour, look.marker, factor)
            drawn += points
    style.time_axis(axes, times)
    axes.set_ylabel(style.metric_label(comparison["metric"]))
    files.set_title(figure, title)
    style.finish(axes, note="bars: 95 % interval of the mean over chips")
    style.note_waves(axes, drawn)
    legend = axes.get_legend()
    for text in legend.get_texts() if legend is not None else ():
        text.set_parse_math(False)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= _NAME_COLUMNS else name[: _NAME_COLUMNS - 1] + "…"

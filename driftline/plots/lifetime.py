"""The share of chips that hold a threshold, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftline.plots import files, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def chip_yield(lifetime: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of the yield: the share of chips that have not fallen below the threshold.

    Args:
        lifetime: as the lifetime endpoint answers it.
        title: such as the job's name.
    """
    figure = style.new_figure()
    axes = figure.add_subplot()
    times: list[float] = []
    for one in lifetime["series"]:
        look = style.VARIANTS[one["variant"]]
        x = [style.place(point["t_inference"]) for point in one["yield"]]
        times += [point["t_inference"] for point in one["yield"]]
        # Of chips in waves, the interval that stays valid.
        ends = [point.get("ci95_adaptive") or point["ci95"] for point in one["yield"]]
        low, high = ([100 * bounds[end] for bounds in ends] for end in (0, 1))
        axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
        share = [100 * point["share"] for point in one["yield"]]
        axes.plot(x, share, color=look.colour, linestyle=look.dash, label=look.label)
    style.time_axis(axes, times)
    axes.set_ylim(-2, 102)
    axes.set_ylabel(f"chips that hold {_bound(lifetime)} (%)")
    files.set_title(figure, title)
    style.finish(axes, note="bands: Wilson's 95 % interval for the number of chips")
    return figure


def _bound(lifetime: Mapping[str, Any]) -> str:
    if lifetime["metric"] == "accuracy":
        return f"{100 * lifetime['threshold']:.4g} %"
    return f"{lifetime['metric']} {lifetime['threshold']:.4g}"

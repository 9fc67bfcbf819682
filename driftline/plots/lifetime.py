"""The share of chips that hold a threshold, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftline.plots import files, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def chip_yield(lifetime: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of the yield: the share of chips that have not fallen below the threshold.

    For chips in service, a thin line beside it is the share that is good at the time, whatever it was before.

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
        served = (one.get("in_service") or {}).get("availability")
        label = look.label if served is None else f"{look.label}: not fallen yet"
        axes.plot(x, share, color=look.colour, linestyle=look.dash, label=label)
        if served is not None:
            good = [100 * point["share"] for point in served]
            label = f"{look.label}: good at the time"
            axes.plot(x, good, color=look.colour, linestyle=look.dash, linewidth=0.8, label=label)
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

"""How far apart services may be: the share of chips that hold a target, by interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from driftline.plots import files, style
from driftline.times import in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def maintenance_plan(found: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of a maintenance plan: the evaluated intervals of each kind of service.

    Args:
        found: as the analyses endpoint answers it.
        title: such as the job's name.
    """
    figure = style.new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    places = list(dict.fromkeys((one["do"], one["variant"]) for one in found["longest"]))
    several = len({variant for _, variant in places}) > 1
    looks = [*style.VARIANTS.values()]
    for number, (do, variant) in enumerate(places):
        rows = [row for row in found["rows"] if (row["do"], row["variant"]) == (do, variant)]
        look = looks[number % len(looks)]
        shares = [100 * row["share"] for row in rows]
        low = [max(0.0, share - 100 * row["ci95"][0]) for share, row in zip(shares, rows, strict=True)]
        high = [max(0.0, 100 * row["ci95"][1] - share) for share, row in zip(shares, rows, strict=True)]
        axes.errorbar(
            [row["interval_s"] for row in rows], shares, yerr=[low, high], color=look.colour,
            marker=look.marker, linestyle=look.dash, markersize=4, capsize=3,
            label=do.replace("_", " ") + (f", {variant}" if several else ""),
        )  # fmt: skip
    axes.axhline(
        100 * found["chips"], color=style.QUIET, linewidth=1, linestyle="--",
        label=f"wanted: {100 * found['chips']:g} %",
    )  # fmt: skip
    style.time_axis(axes, [3600.0, found["horizon_s"]])
    axes.set_xlabel("from one service to the next")
    axes.set_ylabel("chips that hold the target (%)")
    axes.set_ylim(-3, 103)
    files.set_title(figure, title)
    style.finish(axes, note=f"until {in_words(found['horizon_s'])}; bars: 95 % interval of the share")
    return figure

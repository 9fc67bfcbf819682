"""What happens inside layers: how well each does, what its converters get, what becomes of its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from driftline.plots import files, style
from driftline.times import in_short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAME_COLUMNS = 28
_ROW_INCHES = 0.26
_MOST_SNR_DB = 80.0  # a layer without error would have infinitely many
# Of one colour, from programming to the last time.
_AGES = ("#08306B", "#2171B5", "#6BAED6", "#9ECAE1", "#C6DBEF", "#DEEBF7")


def layers(conversion: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of all analog layers: signal-to-noise ratio, clipping, use of their tiles.

    Args:
        conversion: the artifact `conversion.json`.
        title: such as the job's name.
    """
    found = list(conversion["layers"])
    figure = style.new_figure(9.0, 1.6 + _ROW_INCHES * max(1, len(found)))
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(2, 2, 1))
    rows = range(len(found))
    names = [files.drawable(figure, _short(one["name"])) for one in found]
    _bars(panels[0], [_snr(one["snr_db"]) for one in found], "signal-to-noise ratio (dB)")
    for offset, (key, colour) in enumerate((("dac_clipped", "#E69F00"), ("adc_clipped", "#CC79A7"))):
        values = [100 * _worst(one, key) for one in found]
        label = f"{key[:3].upper()}, worst tile"
        panels[1].barh([row + 0.2 - 0.4 * offset for row in rows], values, 0.38, color=colour, label=label)
    panels[1].set_xlabel("clipped values (%)")
    panels[1].set_xlim(0, max(1.0, panels[1].get_xlim()[1]))
    _bars(panels[2], [100 * one["utilisation"] for one in found], "cells in use (%)")
    panels[0].set_yticks(rows, names, fontsize=8, parse_math=False)
    panels[0].invert_yaxis()
    for panel in panels:
        style.finish(panel)
        panel.grid(visible=False, axis="y")
    files.set_title(figure, title)
    return figure


def layer(one: Mapping[str, Any], title: str = "") -> Figure:
    """Return the picture of one layer: weights before and after programming, drift, its converters' inputs.

    Args:
        one: a layer of the artifact `conversion.json`.
        title: such as the layer's name.
    """
    figure = style.new_figure(9.0, 6.4)
    panels = figure.subplots(2, 2)
    for panel in panels.flat:
        panel.locator_params(axis="x", nbins=6)
    _programmed(panels[0][0], one["weights"])
    _drifted(panels[0][1], one["weights"])
    _converter(panels[1][0], one["dac"], "DAC input")
    _converter(panels[1][1], one["adc"], "ADC input")
    files.set_title(figure, title)
    return figure


def transfer(curve: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Return the transfer curve of a tile: what it answers against the exact product.

    Args:
        curve: `ideal` and `measured`, a value each for every point; in the same unit.
        title: such as the tile's name.
    """
    figure = style.new_figure(5.2, 4.8)
    axes = figure.add_subplot()
    axes.scatter(curve["ideal"], curve["measured"], s=6, color=style.PLAIN, alpha=0.5, linewidths=0)
    ends = [min(curve["ideal"]), max(curve["ideal"])]
    axes.plot(
        ends, ends, color=style.DIGITAL.colour, linestyle=style.DIGITAL.dash, linewidth=1, label="exact"
    )
    axes.set_xlabel("exact product")
    axes.set_ylabel("the tile's answer")
    files.set_title(figure, title)
    style.finish(axes)
    return figure


def _programmed(axes: Axes, weights: Mapping[str, Any] | None) -> None:
    axes.set_xlabel("weight to be programmed (of g_max)")
    axes.set_ylabel("programmed weight")
    if weights is None:
        _absent(axes)
        return
    places = _places(weights)
    known = [
        (place, mean, std)
        for place, mean, std in zip(
            places, weights["programmed_mean"], weights["programmed_std"], strict=True
        )
        if mean is not None
    ]
    x, mean, std = zip(*known, strict=True) if known else ((), (), ())
    axes.errorbar(
        x, mean, yerr=std, color=style.PLAIN, marker="o", markersize=3, linestyle="", elinewidth=1,
        label="mean and standard deviation",
    )  # fmt: skip
    axes.plot([-1, 1], [-1, 1], color=style.DIGITAL.colour, linestyle=style.DIGITAL.dash, linewidth=1)
    style.finish(axes)


def _drifted(axes: Axes, weights: Mapping[str, Any] | None) -> None:
    axes.set_xlabel("weight on the tile (of g_max)")
    axes.set_ylabel("share of devices (%)")
    if weights is None:
        _absent(axes)
        return
    curves = [("programmed", weights["programmed"])]
    curves += [(in_short(one["t_inference"]), one["counts"]) for one in weights["drifted"]]
    edges = _edges(weights)
    for (label, counts), colour in zip(curves, _AGES, strict=False):
        axes.stairs(_percent(counts), edges, color=colour, label=label)
    style.finish(axes)


def _converter(axes: Axes, histogram: Mapping[str, Any] | None, label: str) -> None:
    axes.set_xlabel(f"{label} (of its bound)")
    axes.set_ylabel("share of values (%)")
    if histogram is None:
        _absent(axes)
        return
    bins = {"limit": histogram["limit"], "bins": histogram["bins"]}
    axes.stairs(_percent(histogram["counts"]), _edges(bins), fill=True, color=style.PLAIN, alpha=0.7)
    for bound in (-1, 1):
        axes.axvline(bound, color="#D55E00", linestyle="--", linewidth=1)
    style.finish(axes)


def _absent(axes: Axes) -> None:
    axes.text(0.5, 0.5, "nothing is converted here", ha="center", va="center", transform=axes.transAxes)


def _bars(axes: Axes, values: Sequence[float], label: str) -> None:
    axes.barh(range(len(values)), values, 0.7, color=style.PLAIN)
    axes.set_xlabel(label)


def _edges(histogram: Mapping[str, Any]) -> list[float]:
    limit, bins = histogram["limit"], histogram["bins"]
    return [-limit + 2 * limit * number / bins for number in range(bins + 1)]


def _places(histogram: Mapping[str, Any]) -> list[float]:
    edges = _edges(histogram)
    return [(low + high) / 2 for low, high in pairwise(edges)]


def _percent(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [100 * count / total for count in counts]


def _snr(value: float | str | None) -> float:
    if value is None:
        return 0.0
    return _MOST_SNR_DB if value == "inf" else float(value)


def _worst(one: Mapping[str, Any], key: str) -> float:
    return max((tile.get(key) or 0.0 for tile in one["tiles"]), default=0.0)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_COLUMNS else "…" + name[-_NAME_COLUMNS + 1 :]
